# Moments, lengths of time and prices, as every other text shows them.

moment = { $day } { $month ->
    [1] January
    [2] February
    [3] March
    [4] April
    [5] May
    [6] June
    [7] July
    [8] August
    [9] September
    [10] October
    [11] November
   *[12] December
} { $year }, { $time } UTC
duration-days = { $count ->
    [one] { $count } day
   *[other] { $count } days
}
duration-hours = { $count ->
    [one] { $count } hour
   *[other] { $count } hours
}
duration-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
price = { $currency ->
    [XTR] { $amount } ⭐
   *[other] { $amount } { $currency }
}

# Names that stand within other texts

way-name = { $provider ->
    [stars] Telegram Stars
    [cryptopay] Crypto Pay
    [card] Bank card
    [manual] Transfer
   *[other] { $provider }
}
who-name = { $kind_of_who ->
    [owner] owner { $who }
    [buyer] the buyer
    [program] the program
    [provider] { way-name }
   *[other] { $who }
}
bound-name = { $bound ->
    [row] one gift
    [user_day] time for one user within a day
    [shop_day] all gifts within a day
    [horizon] access ahead of today
   *[other] { $bound }
}

# Buttons

button-buy = Buy from { $price }
button-extend = Extend from { $price }
button-plan = { $plan } · { $price }
button-plans = See the plans
button-link = 🔑 My link
button-connect = How to connect
button-help = Help
button-language = Language
button-english = English
button-russian = Русский
button-back = ‹ Back
button-way = { way-name } · { $price }
button-pay = Pay { $price }
button-have-paid = ✓ I have paid
button-cancel-order = Cancel
button-try = 🎁 Try { $time } for free
button-new-link = New link
button-lost = I lost it, or have a new device
button-leaked = Somebody else has it: stop it now
button-renew = Extend
button-card = My access

# Lines over the chat after a tap: 200 characters at most

toast-invoice-above = The invoice is already in the chat, a little above.
toast-outdated = That button is out of date. Here is a fresh one.
toast-failed = That did not work, and it is our fault. We have been told. Nothing you paid is lost.
toast-not-now = One moment: this takes a little longer than usual. It will be done by itself.

# The command menu

command-start = Your access at a glance
command-buy = Plans and prices
command-link = Show your link
command-help = How to connect
command-language = Choose a language
command-terms = Terms of service
command-paysupport = Help with a payment
