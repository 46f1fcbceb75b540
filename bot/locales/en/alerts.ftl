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
