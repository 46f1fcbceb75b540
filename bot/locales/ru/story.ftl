# История пользователя, по строке

story =
    <b>{ $user }</b>
    { $list }
story-more =
    <b>{ $user }</b>
    Более ранних строк, которые не поместились: { $more }. Все строки: <code>tollgate why { $user }</code>
    { $list }
story-none = О пользователе { $user } ничего не известно.
story-ordered = Заказ: { $plan } за { $price }, способ оплаты: { way-name } (заказ { $id })
story-purchase = Заказ { $id }: { $event ->
    [awaiting_payment] счёт показан
    [awaiting_admin] покупатель сообщил об оплате, решает владелец
    [paid] оплачен
    [cancelled] отменён
    [expired] не оплачен вовремя
    [rejected] деньги не найдены
    [refund_pending] деньги возвращаются
    [refunded] деньги вернулись
   *[other] { $event }
}{ $by }
story-payment = { $event ->
    [received] Оплачено { $price }, { way-name }: платёж #{ $number }
    [credited] Платёж #{ $number } зачтён
    [mismatch] Платёж #{ $number } отложен: { $reason }
    [refund_pending] Платёж #{ $number } возвращается, { $price }: { $reason }
    [refunded] Платёж #{ $number } вернулся, { $price }
   *[other] Платёж #{ $number }: { $event }
}{ $flags }
story-flag-late = { " " }(пришёл поздно)
story-flag-over = { " " }(больше цены)
story-flag-duplicate_invoice = { " " }(заказ уже был оплачен)
story-by = , решение: { who-name }
story-key = Ключ { $id } { $event ->
    [present-wished] надо впустить на { $node }
    [present-confirmed] работает на { $node }
    [absent-wished] надо отключить на { $node }
    [absent-confirmed] отключён на { $node }
    [present-set_aside] не удалось впустить на { $node }, отложен
    [absent-set_aside] не удалось отключить на { $node }, отложен
   *[other] { $event }, { $node }
}{ $origin ->
    [reissue] { " " }(новая ссылка)
    [move] { " " }(переезд)
   *[other] { "" }
}
story-user = { $event ->
    [met] Впервые написал боту
    [banned] Запрет
    [active] Запрет снят
    [reachable] Снова доступен для сообщений
    [unreachable] Заблокировал бота
   *[other] Пользователь: { $event }
}
story-notice = { $event ->
    [sent] Сообщено
    [failed] Не удалось сообщить
   *[other] Сообщение { $event }
}: { $what ->
    [purchase] состояние заказа
    [link] ссылка
    [news-expired] доступ закончился
    [news-ends-in-3-days] срок кончается через три дня
    [news-ends-tomorrow] срок кончается через день
    [news-ends-soon] срок кончается через три часа
    [news-missed] доступ закончился день назад
    [news-refunded] деньги возвращены
    [news-rejected] деньги не найдены
    [news-granted] подарено время
    [news-trial] начинается проба
    [news-held] деньги проверяет человек
    [news-over] заплачено больше, чем нужно
    [news-reissue] готовится новая ссылка
    [news-suspended] доступ приостановлен
    [news-restored] доступ снова открыт
   *[other] { $what }
}
story-until = { " " }Работает до { $until }.
story-waits = { " " }Ждёт доступа: { $time }.
story-ledger = { $event ->
    [payment] Куплено время: плюс { $time }.
    [activation] Доступ заработал, время пошло.
    [grant] Подарок, { who-name }: плюс { $time }. { $reason }
    [trial] Проба: плюс { $time }.
    [refund] Возврат, { who-name }: минус { $time }. { $reason }
    [expiry] Время вышло.
    [suspend] Доступ приостановлен, время сохранено, { who-name }. { $reason }
    [restore] Доступ восстановлен, { who-name }. { $reason }
    [change] Другой тариф: остаток пересчитан, { $time }.
   *[other] Время: { $event }, { $time }.
}{ $then }
story-act = { who-name }: { $event ->
    [grant] подарено время
    [revoke] доступ закрыт
    [restore] доступ открыт
    [ban] запрет
    [unban] запрет снят
    [refund] возврат денег
    [credit_held] отложенные деньги зачтены
    [approve_order] деньги за заказ найдены
    [reject_order] деньги за заказ не найдены
    [refunded_by_hand] деньги возвращены вручную
   *[other] { $event }
}. { $reason }
story-other = { $kind } { $id }: { $event }
