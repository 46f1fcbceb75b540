# What owners are told at once

alert-parked =
    ⚠️ <b>{ $actor }</b> failed too often and is left alone for { $for_s } s. Nobody else is affected.

    <code>/actor { $actor }</code>
alert-storm =
    🚨 <b>{ $actor }</b>: a storm of restarts, children failing: { $children }. Restarts there are slowed down.

    /actors
alert-keeps-failing =
    🚨 <b>{ $actor }</b> keeps failing, restarts: { $restarts }. It is tried on at the longest pause.

    <code>/actor { $actor }</code>
alert-gave-up = 🚨 <b>{ $actor }</b> gave up and stops with everything below it. { $reason }
alert-set-aside =
    ⚠️ <b>{ $actor }</b>: { $message } was set aside after { $attempts } attempts. It waits for your decision: /dl
alert-loop-blocked = 🚨 The program stood still for { $for_s } s in <b>{ $actor }</b>. The log shows where.
alert-policy-reverted = ↩ { $key }: { $old } → { $new }. The time of the change is over.
# An alert of another release
alert-other =
    ⚠️ { $what }
    { $arguments }
alert-manual-payment =
    💬 <code>{ $user_id }</code> says to have paid { $price } for { $plan }.

    Is the money there? Order <code>{ $purchase_id }</code>
alert-payment-held =
    ⚠️ Payment #{ $number } is held: { $price }, { way-name }, from <code>{ $user_id }</code>. { $reason }

    All that is held: /held
alert-refund-by-hand =
    ↩ Payment #{ $number } has to go back by your hand: { $price }, { way-name }, to <code>{ $user_id }</code>. { $reason }

    Once it is done: <code>/refunded { $number }</code>
alert-refund-stuck = ⚠️ The refund of payment #{ $number } does not get through yet: { $reason }. It is tried on.
alert-run-away =
    🚨 More time than allowed was about to be given to <code>{ $user_id }</code>, and was not. The bound for { bound-name }: { $limit_s }.

    <code>/why { $user_id }</code>
alert-key-set-aside =
    🚨 Node { $node } does not take key { $key } of <code>{ $user_id }</code>: { $wish ->
        [present] access is due, and there is none
       *[absent] it should be shut out and is not
    }. It is tried again after a restart of the program.

    <code>/why { $user_id }</code>
alert-payment-odd =
    ℹ️ Payment #{ $number } of <code>{ $user_id }</code> was credited, and is odd: { $flag ->
        [late] it came late
        [over] it is more than the price
        [duplicate] the order was paid before
       *[other] { $flag }
    }
