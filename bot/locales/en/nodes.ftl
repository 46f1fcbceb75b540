# For owners: nodes and the end of access. Outcomes and reasons of the program come in its own words
# where no text here knows them.

# What stands within other texts

node-state = { $state ->
    [active] in use
    [draining] being emptied
    [frozen] frozen
    [lost] given up
    [removed] removed
   *[other] { $state }
}
node-calls = { $calls ->
    [closed] it answers
    [open] it does not answer
    [half_open] it is being tried again
    [isolated] not called, by an owner's order
    [held_closed] called whatever it answers, by an owner's order
    [key] it takes none of our keys
   *[other] it is not in the settings
}
node-outcome = { $outcome ->
    [never] none yet
    [equal] equal
    [differs] differs
    [mended] differed, mended
    [watched] users without a right were seen, and are looked at again
    [frozen] frozen: nobody is removed
    [would-freeze] differs so much that it is to be frozen
    [met] seen for the first time
    [another-store] its store was new: everything is sent again
    [older-store] its store was an older one: everything is sent again
    [away] it did not answer
    [key-refused] it took none of our keys
    [gone] it is given up
   *[other] { $outcome }
}
node-cause = { $cause ->
    [backup] It has seen changes that our database does not know. So the database was probably restored from a backup.
    [foreign] Another database has written to it: a second back-end, a copy or a test uses this node.
    [strangers] It serves users, and our database never had any there. So this is perhaps the wrong database, or the wrong node.
    [many] It serves more users without a right to be there than may be removed without asking.
   *[other] Somebody, or something that has no words here, stopped it.
}
node-check = { $cause ->
    [backup] Was the database restored? Payments since the backup are looked for at Stars and Crypto Pay again by themselves: give that ten minutes, then see /held. Cards and transfers are not: go through them by hand.
    [foreign] Stop the other back-end, or give it a node of its own. Was <code>database.url</code> changed in the settings?
    [strangers] Are <code>database.url</code> and the address of this node right in the settings?
    [many] Compare, and look who they are. Were they added by hand on the node, or are rows gone from the database?
   *[other] Ask whoever froze it, and compare before you go on.
}
node-safe =
    Safe meanwhile: nobody is removed from it, buying and renewing go on. Whose time ends there, or who is banned, stays in until you decide.

node-users = { $users ->
    [one] { $users } user
   *[other] { $users } users
}

# All nodes

node-list =
    Nodes: { $nodes }, to look at: { $troubled }

    { $list }
    { $more ->
        [0] What can be done: /nodes help
       *[other] … and { $more } more
    }
node-list-none = There are no nodes.
node-line = { $mark } { $node }: { node-state }, { node-calls }. Users { $users }, changes waiting { $waiting }. Last comparison: { node-outcome }.
node-none = ✗ There is no node { $node }. There are: { $nodes }.

# One node

node-frozen =
    🧊 <b>{ $node }</b> is frozen since { $at } ({ who-name }):
    <i>{ $reason }</i>

    { node-cause }

    ✅ { node-safe }

    🔎 { node-check }

    Then end it, with your reason:
    <code>/nodes unfreeze { $node } reason</code> – the database is right; a few users without a right go by themselves, more freeze it again
    <code>/nodes adopt { $node } reason</code> – the node is right; all its users stay
    <code>/nodes confirm { $node } { $orphans } reason</code> – { $orphans ->
        [N] N users without a right go at once; their number: tap Compare
       *[other] { $orphans } users without a right go at once; you are asked again
    }

    { node-figures }
node-page =
    { $mark } <b>{ $node }</b>: { node-state }
    Since { $at } ({ who-name }): <i>{ $reason }</i>

    { node-figures }

    { node-advice }
node-figures =
    Users: { $users }{ $capacity ->
        [none] { "" }
       *[other] {" "}of { $capacity }
    }, moving away: { $moving }. Changes waiting: { $waiting }, set aside: { $aside }
    Calls: { node-calls }
    Last comparison: { node-outcome }; missing { $missing }, without a right { $found }{ $why ->
        [none] { "" }
       *[other] {" "}({ $why })
    }
node-advice = { $advice ->
    [well] Nothing has to be done.
    [open] Nothing is lost: what waits goes as soon as it answers, and it is asked again by itself. Do its machine and the node service run, and the network between?
    [isolated] Nothing is lost: what waits goes when the order ends: <code>/breaker release { $node } reason</code>
    [held_closed] Its answers decide again with: <code>/breaker release { $node } reason</code>
    [key] Nothing is sent to it. Mend <code>api_keys</code> in the settings, or the node's own.
    [aside] It does not take some keys: the alerts said which. Once that is mended, restart the program: they are tried again.
    [draining] Nobody new comes to it, and its users move to other nodes. Back: <code>/nodes activate { $node } reason</code>. Empty: <code>/nodes remove { $node } reason</code>
    [lost] Its users moved to other nodes. Once it is back: <code>/nodes activate { $node } reason</code>
    [removed] Nobody is served there. Back: <code>/nodes activate { $node } reason</code>
   *[unknown] It is in no settings, so nobody can be let in or shut out there. Put it back, or move its users: <code>/nodes lost { $node } reason</code>
}
nodes-usage =
    <code>/nodes</code> – all nodes
    <code>/nodes de-1</code> – one: what is wrong, and what to do
    <code>/nodes freeze de-1 reason</code> – remove nobody; new access works
    <code>/nodes unfreeze de-1 reason</code> – go on: the database is right
    <code>/nodes adopt de-1 reason</code> – go on: all its users stay
    <code>/nodes confirm de-1 25 reason</code> – remove 25 users without a right, and go on
    <code>/nodes drain de-1 reason</code> – move its users to other nodes
    <code>/nodes lost de-1 reason</code> – it will not come back: the same, without it
    <code>/nodes remove de-1 reason</code> – an empty one is used no more
    <code>/nodes activate de-1 reason</code> – use it again

    Compare: /reconcile. Calls: /breaker
node-say-why = Say why, for the record: <code>/{ $words } reason</code>

# What became of a wish

node-is-frozen =
    🧊 { $node } is frozen: nobody is removed from it, new access works.

    End it: <code>/nodes unfreeze { $node } reason</code>
node-is-unfrozen = ▶️ { $node } is worked with again. A few users without a right go by themselves, more freeze it again.
node-is-adopted = ▶️ { $node } is worked with again. Users that the database does not know, and that stay: { $users }.
node-is-confirmed = ▶️ { $node } is worked with again. Users without a right that were removed: { $users }.
node-is-drain = 🚚 { $node } is being emptied. Users that move to other nodes: { $users }. How far it is: <code>/nodes { $node }</code>
node-is-lost = ⚫ { $node } is given up. Users that move to other nodes: { $users }. How far it is: <code>/nodes { $node }</code>
node-is-removed = ⚫ { $node } is used no more.
node-is-active = ▶️ { $node } is in use.
node-nobody-to-remove =
    { $node } has nobody without a right, so there is nobody to remove. Go on:
    <code>/nodes unfreeze { $node } reason</code>
node-more-than-said =
    ✗ { $node } has { $found } users without a right, more than { $users }. Nobody was removed. If it shall be all of them:
    <code>/nodes confirm { $node } { $found } reason</code>
node-not-compared = ✗ { $node } could not be compared: { node-outcome }. Nothing was changed. <code>/nodes { $node }</code>
ask-node-confirm =
    Remove { node-users } from { $node }? They lose access at once. After that the node is worked with again.

    <blockquote>{ $reason }</blockquote>
ask-node-drain =
    Move { node-users } from { $node } to other nodes? Each gets a new link, and the old one ends then. Nobody new comes to it.

    <blockquote>{ $reason }</blockquote>
ask-node-lost =
    Give { $node } up, and move { node-users } to other nodes? Each gets a new link. The node is called no more, so who is connected there may stay until it is switched off.

    <blockquote>{ $reason }</blockquote>

# Comparing

compared =
    { $dry ->
        [yes] 🔎 Only looked, nothing was changed:
       *[no] ✓ Compared:
    }

    { $list }

    { $advice ->
        [equal] Nothing has to be done.
        [mend] To mend: the missing are let in again at once. Users without a right go when they are seen twice, a minute apart; too many freeze the node instead.
        [frozen] Nobody is removed from a frozen node. What to do: <code>/nodes { $node }</code>
        [done] How it stands: /nodes
       *[away] Who could not be compared is compared every minute, by itself.
    }
reconcile-usage =
    <code>/reconcile</code> – what differs between all nodes and the database; nothing is changed
    <code>/reconcile de-1</code> – one node

    A button below the answer mends it.
compared-line = { $node }: { node-outcome }. There { $there }, wanted { $wanted }, missing { $missing }, without a right { $found }.
compared-done = Asked for again { $raised }, removed { $removed }.
compared-who = Among them: { $sample }

# Calls

breakers = { $list }
breakers-none = There are no nodes in the settings.
breaker-line = { $node }: { node-calls }.
breaker-away = Away for { $time }.
breaker-next = Asked again in { $span }.
breaker-pace = Calls at a time: { $calls_at_a_time }.
breaker-isolate = ⏸ { $node } is not called { $time }. Nothing is lost: what waits for it waits. End it: <code>/breaker release { $node } reason</code>
breaker-close = ▶️ { $node } is called { $time }, whatever it answers. End it: <code>/breaker release { $node } reason</code>
breaker-release = ▶️ { $node }: its answers decide again. Now: { node-calls }.
breaker-until-released = until it is released
breaker-for = for { $span }
breaker-usage =
    <code>/breaker</code> – whether nodes are called
    <code>/breaker isolate de-1 for 15m reason</code> – do not call it; the time may be left out
    <code>/breaker close de-1 for 15m reason</code> – call it whatever it answers
    <code>/breaker release de-1 reason</code> – let its answers decide again

# The end of access

expiry-goes-on = 🕰 Access ends as it should. Since the start: ended { $ended }, reminded { $reminded }.
expiry-off =
    🕰 The end of access is switched off: nobody loses access, also whose time is over. Since the start: ended { $ended }, reminded { $reminded }.

    On again: <code>/policy set expiry.enabled on</code>
expiry-silent =
    🕰 Access ends as it should, and reminders are switched off. Since the start: ended { $ended }, reminded { $reminded }.

    On again: <code>/policy set expiry.reminders on</code>
expiry-held =
    🕰 Nobody's access ends for now:
    <i>{ $why }</i>

    ✅ Safe meanwhile: nobody loses access, buying and renewing go on. Time that is over ends later.

    🔎 Look at the clocks of this machine and of the database's: <code>timedatectl</code>. A wrong one is to be mended, and the rest goes on by itself.

    Is it really so late? <code>/expiry confirm reason</code>
expiry-confirmed = ▶️ Access ends again, by the database's clock.
expiry-usage =
    <code>/expiry</code> – whether access ends as it should
    <code>/expiry confirm reason</code> – it is as late as the database says; you are asked again
ask-expiry =
    Is it as late as the database's clock says? If not, users lose access that they paid for. What holds it:
    <i>{ $why }</i>

    <blockquote>{ $reason }</blockquote>

button-node = { $mark } { $node }
button-nodes = ‹ Nodes
button-node-again = 🔄 Look again
button-node-look = 🧭 { $node }: how it stands
button-compare = 🔎 Compare { $node }
button-mend = ▶️ Mend: { $missing } missing, { $found } without a right
button-yes-node-confirm = 🗑 Yes, remove { $users }
button-yes-node-drain = 🚚 Yes, move { $users }
button-yes-node-lost = ⚫ Yes, give up, move { $users }
button-yes-expiry = 🕰 Yes, it is that late
command-nodes = Nodes: how they stand, and what to do
command-reconcile = Compare nodes with the database
command-breaker = Whether nodes are called
command-expiry = Whether access ends as it should
