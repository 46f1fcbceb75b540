# News that come by themselves

news-expired =
    Your access has ended.

    Extend it, and the link you have works again.
news-ends-in-3-days =
    Your access ends within three days.

    Extend it now, and no day is lost: new time is added to what is left.
news-ends-tomorrow =
    ⏳ Your access ends within 24 hours.

    Extend it now, and nothing is interrupted.
news-ends-soon =
    ⏳ Your access ends within three hours.

    Extend it, and you stay connected.
news-missed =
    Your access is still switched off: its time is over.

    Your link is kept: extend, and it works again, with nothing to set up.
news-refunded = Your money went back to you.
news-refunded-sum = { $price } went back to you.
news-rejected =
    We did not find your payment.

    If you did pay, write to us: /paysupport
news-rejected-order =
    <b>{ $plan }</b>: we did not find your payment.

    If you did pay, write to us: /paysupport
news-suspended =
    Your access is paused. What is left of your time is kept.

    If you think this is a mistake, write to us: /paysupport
news-restored = ✅ Your access is open again, with all the time that was left.
news-granted = 🎁 We have added time to your access.
news-granted-time = 🎁 We have added { $time } to your access.
news-trial = 🎁 Your free trial is being prepared. The link comes here by itself.
news-trial-time = 🎁 Your free trial is being prepared: { $time }. The link comes here by itself.
news-held =
    We received your payment, and it fits no order as it is.

    Your money is safe: a person is looking at it. Questions: /paysupport
news-held-sum =
    We received { $price }, and it fits no order as it is.

    Your money is safe: a person is looking at it. Questions: /paysupport
news-over =
    You paid twice, or more than the price. Nothing of it is lost.

    Would you like it back? Write to us: /paysupport
news-over-sum =
    You paid twice, or more than the price: { $price }. Nothing of it is lost.

    Would you like it back? Write to us: /paysupport
news-reissue = ⏳ A new link is being made and comes here by itself.
# News of another release
news-other = There is news about your access.
