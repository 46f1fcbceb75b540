# For owners: what they see and do while the program runs. Names, states and figures are the same
# in every language, and the same as on the command line.

operator-refused = ✗ { $why }
operator-not-now =
    ⏳ No answer just now: the database or the actor is busy or away. Please come back in a minute.

    Look before you repeat a change: it may have been done all the same.

# Policies

policy-list =
    <pre>{ $list }</pre>
    { $more ->
        [0] * changed. Bounds: <code>/policy { $group }</code>. How to change: /policy help
       *[other] … and { $more } more lines. One group: <code>/policy { $group }</code>
    }
policy-no-group = There is no group { $group }. There are: { $groups }.
policy-changed = { $key }: { $old } → { $new }
policy-changed-until = { $key }: { $old } → { $new } until { $until }
policy-undone = ↩ { $key }: { $old } → { $new }
policy-undone-until = ↩ { $key }: { $old } → { $new } until { $until }
policy-forecast =
    { $key }: { $old } → { $new }, only tried: nothing was changed.

    Within { $within }: restarts { $restarts }, actors { $actors }.
    Too many restarts: { $before } → { $after }
policy-history =
    <pre>{ $list }</pre>
    { $more ->
        [0] Take one back: <code>/policy undo { $newest }</code>
       *[other] … and { $more } more. Take one back: <code>/policy undo { $newest }</code>
    }
policy-no-history = No policy was changed yet.
policy-usage =
    <code>/policy</code> – all values
    <code>/policy users</code> – one group, with bounds
    <code>/policy try users.max_restarts 5</code> – what it would have done
    <code>/policy set users.max_restarts 5 15m because it flaps</code> – change; span and reason may be left out
    <code>/policy undo 12</code> – take a change back
    <code>/policy history</code> – the last changes
button-undo = ↩ Undo

# Actors

actors =
    Actors: { $actors }, in trouble: { $troubled }
    <pre>{ $tree }</pre>
    { $more ->
        [0] Look inside one: /actor NAME
       *[other] … and { $more } more, in trouble among them: { $more_troubled }
    }
actor =
    <b>{ $actor }</b>
    <pre>{ $figures }</pre>
    { $more ->
        [0] What can be done: /actor help
       *[other] … and { $more } more lines
    }
actor-suspended = ⏸ { $actor }: its messages wait until it is resumed.
actor-not-from-here =
    ✗ { $actor } hands on what you write here: suspended, it would not hear you resume it. From a terminal:
    <code>tollgate actor suspend { $actor }</code>
actor-resumed = ▶️ { $actor }: its messages are let through again.
actor-restarts = 🔄 { $actor }: is started anew after the message in hand.
actor-restarts-now = 🔄 { $actor }: is started anew at once.
actor-usage =
    <code>/actor NAME</code> – a look inside
    <code>/actor suspend NAME reason</code> – let its messages wait
    <code>/actor resume NAME reason</code> – let them through again
    <code>/actor restart NAME reason</code> – start anew after the message in hand
    <code>/actor restart NAME now reason</code> – start anew at once

    The names: /actors

# Dead letters: messages that were set aside

letters =
    <pre>{ $list }</pre>
    { $more ->
        [0] Look at one: <code>/dl show { $newest }</code>
       *[other] … and { $more } more. Look at one: <code>/dl show { $newest }</code>
    }
letters-none = No message waits for a decision.
letter =
    <b>#{ $id }</b> { $message } to { $actor }
    { $state ->
        [waiting] Waits for a decision
        [retried] Was sent again: { $who }
       *[dropped] Was dropped: { $who }
    }
    { $error }, attempts: { $attempts }, { $at }
    <code>{ $correlation }</code>
    <pre>{ $traceback }</pre>
letter-retried = 🔄 #{ $id }: { $how }
letter-dropped = 🗑 #{ $id } was dropped: it is not worked on again.
letters-usage =
    <code>/dl</code> – messages that wait for a decision
    <code>/dl show 12</code> – one of them, with its error
    <code>/dl retry 12</code> – have it worked on again
    <code>/dl drop 12 reason</code> – never work on it again
button-retry = 🔄 Retry
button-drop = 🗑 Drop for ever

# The menu of owners

command-actors = The tree of actors
command-actor = One actor: look, suspend, restart
command-policy = Restart policies
command-dl = Messages that were set aside
