# The link

link-caption =
    🔑 <b>{ $plan }</b>
    Works until { $until }

    Tap your link to copy it:
    <code>{ $link }</code>

    Paste it into Happ, v2rayNG or v2rayN, or scan the code. It is yours alone: please do not share it.
link-moved =
    🔁 <b>{ $plan }</b>
    Your access has moved to another server. Works until { $until }, as before.

    This is your new link; the one you had works no more:
    <code>{ $link }</code>

    Tap it to copy it, and paste it into Happ, v2rayNG or v2rayN, or scan the code.
link-not-ready =
    ⏳ Your link is being prepared.

    It comes here by itself, and your time starts when it works.
link-none = You have no link yet: it comes with your first plan.
link-ended =
    Your access has ended.

    Extend it, and the link you have works again.

# A new link

new-link =
    Why do you need a new link?

    If you lost it or have a new device, the old link works until the new one does. If somebody else has it, the old one stops at once.
reissue-started =
    ⏳ A new link is being made and comes here by itself.

    Until it works, the old one does.
reissue-leaked =
    ⏳ The old link is being stopped. A new one is being made and comes here by itself.
reissue-under-way = ⏳ A new link is being made already. It comes here by itself.
reissue-too-often = New links a day: { $count } at most. Please come back tomorrow, or write to us: /paysupport
