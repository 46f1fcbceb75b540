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
alert-node-away = 🚨 Node { $node } has not answered for { $away_s } s. Nothing is lost: what waits for it goes as soon as it is back.
alert-node-back = ✅ Node { $node } is back after { $away_s } s. What waited is on its way.
alert-node-key = 🚨 Node { $node } takes none of our keys. Nothing is sent until it does; mend api_keys in the settings, or the node's.
alert-node-certificate = 🚨 The certificate of node { $node } is refused: it has run out, or is for another name.
alert-node-answers-wrong = 🚨 Node { $node } answered for another user than was asked. The answer was thrown away. Look at what stands in front of it.
alert-node-frozen =
    🧊 Node { $node } is frozen:
    <i>{ $reason }</i>

    { node-cause }

    ✅ { node-safe }

    🔎 { node-check }

    What ends it, and all that is known: <code>/nodes { $node }</code>
alert-node-uncompared =
    ⚠️ Node { $node } takes changes, but could not be compared with the database for { $for_s } s ({ $error }).

    Buying and renewing go on. Users who are on it without a right, or are missing there, are not noticed meanwhile. See what it answers: <code>/reconcile { $node }</code>
alert-node-empty =
    📦 Nobody is left on node { $node }: all have a key on another one.

    It may be switched off. So that it is compared no more: <code>/nodes remove { $node } reason</code>
alert-node-nowhere =
    📦 Users of node { $node } cannot be moved: no other node of their plan answers and has room.

    They keep what they have, and are tried again every minute. Add a node, raise a capacity, or name more nodes in their plan.
alert-expiry-held =
    🕰 Nobody's access ends for now: { $why }.

    ✅ Safe meanwhile: nobody loses access, buying and renewing go on.

    🔎 Look at the clocks of this machine and of the database's. A wrong one is to be mended, and the rest goes on by itself. If it is really so late: <code>/expiry confirm reason</code>
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
