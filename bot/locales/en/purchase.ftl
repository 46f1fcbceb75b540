# Plans and the invoice

plans =
    Choose a plan.

    You pay with Telegram Stars, and your time starts when your access works.
plan-not-sold =
    This plan is not for sale right now.

    Take a look at the others, or come back a little later.
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
checkout-under-way = A payment of this invoice is on its way already. Nothing was charged twice.
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
