# Для владельцев: люди и деньги

people-usage =
    <code>/grant 1001 month причина</code> – подарить время тарифа
    <code>/grant 1001 30d причина</code> – подарить столько: m, h, d или w
    <code>/revoke 1001 причина</code> – закрыть доступ, время сохранится
    <code>/restore 1001 причина</code> – снова открыть
    <code>/ban 1001 причина</code> – закрыть доступ и ничего не продавать
    <code>/unban 1001 причина</code> – снять запрет
    <code>/why 1001</code> – история пользователя
payments-usage =
    <code>/held</code> – платежи, которые ждут решения
    <code>/credit 17 причина</code> – зачесть отложенные деньги
    <code>/refund 17 причина</code> – вернуть деньги
    <code>/refunded 17</code> – возврат сделан вручную
act-granted = 🎁 { $user }: подарено { $time }, ждёт доступа.
act-granted-until = 🎁 { $user }: подарено { $time }, доступ до { $until }.
act-too-much = ✗ Слишком много: предел ({ bound-name }): { $limit }. Ничего не изменилось.
act-suspended-first = ✗ { $user }: доступ закрыт, сначала откройте его.
act-no-plan = ✗ Такого тарифа нет, или для него нет сервера.
act-user-unknown = ✗ { $user } никогда не писал боту.
act-done-before = Это уже сделано; ничего не изменилось.
act-revoke = ⏸ { $user }: доступ закрыт. Сохранено: { $kept }.
act-restore = ▶️ { $user }: доступ снова открыт. Время: { $kept }.
act-ban = 🚫 { $user }: запрет. Сохранено: { $kept }.
act-unban = ▶️ { $user }: запрет снят. Время: { $kept }.
act-is-banned = { $user } под запретом: поможет только /unban.
act-unchanged = { $user }: менять нечего.
act-refund-started = ↩ #{ $number }: { $price } возвращается.
act-refund-by-hand = ↩ #{ $number }: доступ снят. Верните { $price } вручную и отметьте это.
act-refunded-before = #{ $number }: деньги уже вернулись.
act-refund-under-way = #{ $number }: деньги уже возвращаются.
act-refund-noted = ✓ #{ $number }: возврат отмечен.
act-no-payment = ✗ Платежа #{ $number }, который ждёт решения, нет.
act-credited = ✓ #{ $number } зачтён.
act-not-held = ✗ #{ $number } нельзя зачесть: решение уже принято или нет заказа, который плательщик мог бы получить.
act-not-going-back = ✗ #{ $number } не возвращается, ничего не изменилось. Если нужен возврат: <code>/refund { $number } причина</code>
act-approved = ✓ Одобрено: заказ оплачен.
act-rejected = ✗ Отклонено: покупателю сообщат.
act-held = ⚠️ Платёж отложен: { $reason }
act-approved-before = Уже одобрено: { who-name }, { $at }.
act-rejected-before = Уже отклонено: { who-name }, { $at }.
act-no-order = Этот заказ не ждёт решения.
act-nothing = Ничего не сделано.
ask-refund =
    Вернуть { $price } пользователю { $user }? Платёж #{ $number }; купленный на него доступ закончится.

    <blockquote>{ $reason }</blockquote>
ask-ban =
    Запретить { $user }? Доступ закроется сразу, время сохранится.

    <blockquote>{ $reason }</blockquote>
held =
    Платежи, которые ждут решения:
    <pre>{ $list }</pre>
held-none = Ни один платёж не ждёт решения.
button-money-credit = ✓ Зачесть #{ $number }
button-money-refund = ↩ Вернуть #{ $number }
button-money-done = ✓ Сделано #{ $number }
button-approve = ✓ Одобрить
button-reject = ✗ Отклонить
button-yes-refund = ↩ Да, вернуть
button-yes-ban = 🚫 Да, запретить
button-no = Нет
command-grant = Подарить время
command-why = История пользователя
command-held = Платежи, которые ждут решения
command-revoke = Закрыть доступ, сохранив время
command-restore = Снова открыть доступ
command-ban = Закрыть доступ и ничего не продавать
command-unban = Снять запрет
command-refund = Вернуть платёж
command-refunded = Возврат сделан вручную
command-credit = Зачесть отложенный платёж
