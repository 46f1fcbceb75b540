# The status card

card-none =
    👋 Hi, <b>{ $name }</b>!

    Private internet access in three steps: choose a plan, pay, open your link in an app.

    You have no access yet.
card-activating =
    <b>{ $plan }</b>

    ⏳ Your access is being prepared.
    Paid time: { $time }. It starts when everything works; there is nothing you need to do.
card-active =
    <b>{ $plan }</b>

    ✅ Works until { $until }
    Time left: { $left }
card-expired =
    Your access ended on { $until }.

    Extend it, and the link you have works again.
card-banned =
    We have closed your access and sell you nothing at the moment.

    If you think this is a mistake, write to us: /paysupport
card-suspended =
    Your access is paused.

    If you think this is a mistake, write to us: /paysupport
hint = I only understand buttons and commands. Here is where you stand:

# The language

languages = Which language shall we speak?
