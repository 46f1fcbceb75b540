# How to connect

help =
    <b>How to connect</b>

    <b>1.</b> Install an app:
    iPhone, iPad — Happ
    Android — Happ or <a href="https://github.com/2dust/v2rayNG/releases">v2rayNG</a>
    Windows, macOS, Linux — <a href="https://github.com/2dust/v2rayN/releases">v2rayN</a>

    <b>2.</b> Get your link: /link. Tap it, and it is copied.

    <b>3.</b> In the app press <b>+</b> and choose to add from the clipboard. On a second device, scan the QR code instead.

    <b>4.</b> Choose the new line and switch it on.

    No connection? Update the app first: old versions cannot read new links.

    A question about a payment: /paysupport. The terms: /terms.

# The terms

terms =
    <b>Terms of service</b>

    You buy private internet access for the time named in the plan. The time starts when your access works, and buying again adds to it.

    The link is for you. Please do nothing through it that the law forbids; access used for that may be paused.

    If we cannot give you what you paid for, your money goes back the way it came, and access that was bought with it ends. Money that fits no order is never kept silently: a person looks and either gives you access or returns it.

    Stars are charged by Telegram; other ways to pay by their own providers. For anything about a payment: /paysupport. Telegram's own support cannot help with purchases made here.

# Help with a payment

support-how =
    <b>A question about a payment?</b>

    Write it in one message after the command, for example:
    <code>/paysupport I paid yesterday and have no link</code>

    A person will read it and write back to you.
support-sent = Thank you, your question was passed on. A person will write back to you.
support-nobody = Please write to the contact named in this bot's profile: questions about payments are answered there.
support-request = 💬 <a href="tg://user?id={ $user }">{ $name }</a> (<code>{ $user }</code>) asks about a payment:
