# The story of a user, a line each

story =
    <b>{ $user }</b>
    { $list }
story-more =
    <b>{ $user }</b>
    Earlier lines that do not fit here: { $more }. All of them: <code>tollgate why { $user }</code>
    { $list }
story-none = Nothing is known of { $user }.
story-ordered = Ordered { $plan } for { $price }, to be paid by { way-name } (order { $id })
story-purchase = Order { $id }: { $event ->
    [awaiting_payment] its invoice was shown
    [awaiting_admin] the buyer says it is paid, an owner decides
    [paid] paid
    [cancelled] cancelled
    [expired] nobody paid in time
    [rejected] no money was found
    [refund_pending] its money goes back
    [refunded] its money went back
   *[other] { $event }
}{ $by }
story-payment = { $event ->
    [received] Paid { $price } by { way-name }: payment #{ $number }
    [credited] Payment #{ $number } counts
    [mismatch] Payment #{ $number } is held: { $reason }
    [refund_pending] Payment #{ $number } goes back, { $price }: { $reason }
    [refunded] Payment #{ $number } went back, { $price }
   *[other] Payment #{ $number }: { $event }
}{ $flags }
story-flag-late = { " " }(came late)
story-flag-over = { " " }(more than the price)
story-flag-duplicate_invoice = { " " }(the order was paid before)
story-by = , by { who-name }
story-key = Key { $id } { $event ->
    [present-wished] is to be let in on { $node }
    [present-confirmed] works on { $node }
    [absent-wished] is to be shut out on { $node }
    [absent-confirmed] is shut out on { $node }
    [present-set_aside] could not be let in on { $node } and was set aside
    [absent-set_aside] could not be shut out on { $node } and was set aside
   *[other] { $event }, { $node }
}{ $origin ->
    [reissue] { " " }(new link)
    [move] { " " }(moved)
   *[other] { "" }
}
story-user = { $event ->
    [met] Wrote to the bot for the first time
    [banned] Banned
    [active] The ban is lifted
    [reachable] Can be written to again
    [unreachable] Blocked the bot
   *[other] User: { $event }
}
story-notice = { $event ->
    [sent] Was told
    [failed] Could not be told
   *[other] Message { $event }
}: { $what ->
    [purchase] the state of an order
    [link] the link
    [news-expired] access has ended
    [news-ends-in-3-days] the time ends in three days
    [news-ends-tomorrow] the time ends in a day
    [news-ends-soon] the time ends in three hours
    [news-missed] access ended a day ago
    [news-refunded] money went back
    [news-rejected] no money was found
    [news-granted] time was given
    [news-trial] a trial begins
    [news-held] a person looks at the money
    [news-over] more was paid than asked
    [news-reissue] a new link is being made
    [news-suspended] access is paused
    [news-restored] access is open again
   *[other] { $what }
}
story-until = { " " }Works until { $until }.
story-waits = { " " }Waits for access: { $time }.
story-ledger = { $event ->
    [payment] Bought time: adds { $time }.
    [activation] Access works, the time starts.
    [grant] Given by { who-name }: adds { $time }. { $reason }
    [trial] Trial: adds { $time }.
    [refund] Refund by { who-name }: takes { $time } away. { $reason }
    [expiry] The time is over.
    [suspend] Access is paused by { who-name }, the time is kept. { $reason }
    [restore] Access is restored by { who-name }. { $reason }
    [change] Another plan: what was left is converted, { $time }.
   *[other] Time: { $event }, { $time }.
}{ $then }
story-act = { who-name }: { $event ->
    [grant] gave time
    [revoke] closed access
    [restore] opened access again
    [ban] banned
    [unban] lifted the ban
    [refund] gave money back
    [credit_held] let held money count
    [approve_order] found the money of an order
    [reject_order] found no money for an order
    [refunded_by_hand] gave money back by hand
   *[other] { $event }
}. { $reason }
story-other = { $kind } { $id }: { $event }
