# For owners: people and money

people-usage =
    <code>/grant 1001 month reason</code> – give a plan's time
    <code>/grant 1001 30d reason</code> – give so much: m, h, d or w
    <code>/revoke 1001 reason</code> – close access, the time is kept
    <code>/restore 1001 reason</code> – open it again
    <code>/ban 1001 reason</code> – close access and sell nothing
    <code>/unban 1001 reason</code> – lift that
    <code>/why 1001</code> – the story of a user
payments-usage =
    <code>/held</code> – payments that wait for a decision
    <code>/credit 17 reason</code> – let held money count
    <code>/refund 17 reason</code> – give money back
    <code>/refunded 17</code> – it was given back by hand
act-granted = 🎁 { $user }: { $time } given, waiting for access.
act-granted-until = 🎁 { $user }: { $time } given, access until { $until }.
act-too-much = ✗ Too much: the bound for { bound-name } is { $limit }. Nothing was changed.
act-suspended-first = ✗ { $user } is banned or suspended: lift that first.
act-no-plan = ✗ There is no such plan, or no server can take its buyers.
act-user-unknown = ✗ { $user } never wrote to the bot.
act-done-before = This was done before; nothing changed.
act-revoke = ⏸ { $user }: access is closed. Time kept: { $kept }.
act-restore = ▶️ { $user }: access is open again. Time: { $kept }.
act-ban = 🚫 { $user } is banned. Time kept: { $kept }.
act-unban = ▶️ { $user } is banned no more. Time: { $kept }.
act-is-banned = { $user } is banned: only /unban helps.
act-unchanged = { $user }: there is nothing to change.
act-refund-started = ↩ #{ $number }: { $price } is on its way back.
act-refund-by-hand = ↩ #{ $number }: access is taken back. Send { $price } back by hand, and then say so.
act-refunded-before = #{ $number } went back before.
act-refund-under-way = #{ $number } is on its way back already.
act-refund-noted = ✓ #{ $number } is noted as given back.
act-no-payment = ✗ There is no payment #{ $number } to decide about.
act-credited = ✓ #{ $number } counts now.
act-not-held = ✗ #{ $number } cannot be credited: it waits for no decision any more, or there is no order that its payer could get for it.
act-not-going-back = ✗ #{ $number } is not on its way back, nothing was changed. If it has to go back: <code>/refund { $number } reason</code>
act-approved = ✓ Approved: the order is paid.
act-rejected = ✗ Rejected: the buyer is told.
act-held = ⚠️ The payment is held: { $reason }
act-approved-before = Approved before by { who-name }, { $at }.
act-rejected-before = Rejected before by { who-name }, { $at }.
act-no-order = This order waits for no decision.
act-nothing = Nothing was done.
ask-refund =
    Refund { $price } to { $user }? Payment #{ $number }; the access that it bought ends.

    <blockquote>{ $reason }</blockquote>
ask-ban =
    Ban { $user }? Access ends at once, the time is kept.

    <blockquote>{ $reason }</blockquote>
held =
    Payments that wait for a decision:
    <pre>{ $list }</pre>
held-none = No payment waits for a decision.
button-money-credit = ✓ Credit #{ $number }
button-money-refund = ↩ Refund #{ $number }
button-money-done = ✓ Done #{ $number }
button-approve = ✓ Approve
button-reject = ✗ Reject
button-yes-refund = ↩ Yes, refund
button-yes-ban = 🚫 Yes, ban
button-no = No
command-grant = Give time
command-why = The story of a user
command-held = Payments that wait for a decision
command-revoke = Close access, keep the time
command-restore = Open access again
command-ban = Close access and sell nothing
command-unban = Lift a ban
command-refund = Give a payment back
command-refunded = A refund was done by hand
command-credit = Let a held payment count
