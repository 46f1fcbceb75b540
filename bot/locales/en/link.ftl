# The link

link-caption =
    🔑 <b>{ $plan }</b>
    Works until { $until }

    Tap your link to copy it:
    <code>{ $link }</code>

    Paste it into Happ, v2rayNG or v2rayN, or scan the code. It is yours alone: please do not share it.
link-not-ready =
    ⏳ Your link is being prepared.

    It comes here by itself, and your time starts when it works.
link-none = You have no link yet: it comes with your first plan.
link-ended =
    Your access has ended.

    Extend it, and the link you have works again.
