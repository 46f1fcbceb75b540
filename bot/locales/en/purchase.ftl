# Plans and the invoice

plans =
    Choose a plan.

    Your time starts when your access works.
plan-not-sold =
    This plan is not for sale right now.

    Take a look at the others, or come back a little later.
sales-paused =
    Nothing new can be sold right now: our servers are full, or one is being mended.

    Whoever has access keeps it and can extend it. Please come back a little later.
not-sold-to-you =
    We cannot sell to you at the moment.

    If you think this is a mistake, write to us: /paysupport
# 255 characters at most
invoice-description = Private internet access: { $plan }. Your link comes right after the payment.

# Why a payment is refused before it is made

checkout-not-yours = This invoice cannot be paid. Please open a new one: /buy
checkout-not-sold-to-you = We cannot sell to you at the moment. Nothing was charged.
checkout-already-paid = This invoice is paid already. To buy more time, open a new one: /buy
checkout-closed = This invoice has expired. Nothing was charged; please open a new one: /buy
checkout-price-changed = This offer has changed. Nothing was charged; please look at today's prices: /buy
checkout-way-closed = This way to pay is closed just now. Nothing was charged; please choose another one: /buy
checkout-under-way = A payment of this invoice is on its way already. Nothing was charged twice.
checkout-paused = Our servers are full, or one is being mended, so we sell nothing new just now. Nothing was charged; please try again a little later.
checkout-try-again = We could not check your order just now. Nothing was charged; please try again in a minute.

# The live message of an order

progress-activating =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    … Activating your access
progress-delayed =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    … The server is not answering yet

    Your payment is safe. Your link comes here by itself, and your time starts when it works. There is nothing you need to do.
progress-ready =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    ✓ Activated
    ✓ Ready · works until { $until }
progress-extended =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    ✓ Extended until { $until }

    Your link stays the same.
progress-activated =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    ✓ Activated
progress-held =
    <b>{ $plan }</b>

    ✓ Payment received: { $price }
    … It needs a look by a person

    Your money is safe. We will either give you access or return it. Questions: /paysupport

# Refunds, in the same live message

progress-refunding =
    <b>{ $plan }</b>

    ✓ Paid { $price }
    … Your money is on its way back
progress-refunded =
    <b>{ $plan }</b>

    ✓ { $price } went back to you
progress-rejected =
    <b>{ $plan }</b>

    ✗ We did not find a payment of { $price }

    If you did pay, write to us: /paysupport

# Ways to pay

ways =
    <b>{ $plan }</b>

    How would you like to pay?
way-not-answering =
    <b>{ $plan }</b>

    This way to pay is not answering just now. Nothing was charged; please take another.
no-way-answers =
    <b>{ $plan }</b>

    Paying does not work just now. Nothing was charged; please try again in a minute.
pay-page =
    <b>{ $plan }</b>

    To pay: { $price }. The button below opens the page that takes the payment.

    Afterwards just come back: the rest happens by itself.
manual-invoice =
    <b>{ $plan }</b>

    To pay: { $price }

    { $instructions }

    Tap the button once you have paid, and a person will check it.
too-far-ahead =
    Your access is paid far ahead already, until { $until }.

    Come back a little later: your time is safe.
too-many-orders =
    Several of your orders wait for their payment.

    Pay one of them, or come back a little later: those that nobody pays close by themselves.
order-cancelled = The order is cancelled. Should money still arrive for it, it is not lost.
claim-recorded =
    Thank you! A person is checking your payment.

    You will hear from us here.
order-paid = This order is paid already.
order-closed = This order is closed: it waits for no payment any more.

# The trial

trial-started =
    🎁 { $time } for free!

    Your link is being made and comes here by itself. Your time starts when it works.
trial-not-offered = There is nothing left to try for free. Take a look at the plans:
