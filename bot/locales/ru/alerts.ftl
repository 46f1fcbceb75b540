# Что владельцы узнают сразу

alert-parked =
    ⚠️ <b>{ $actor }</b> падал слишком часто и оставлен в покое на { $for_s } с. Остальных это не задело.

    <code>/actor { $actor }</code>
alert-storm =
    🚨 <b>{ $actor }</b>: шквал перезапусков, падающих акторов: { $children }. Перезапуски там замедлены.

    /actors
alert-keeps-failing =
    🚨 <b>{ $actor }</b> продолжает падать, перезапусков: { $restarts }. Попытки идут с самой долгой паузой.

    <code>/actor { $actor }</code>
alert-gave-up = 🚨 <b>{ $actor }</b> сдался и останавливается вместе со всем, что под ним. { $reason }
alert-set-aside =
    ⚠️ <b>{ $actor }</b>: сообщение { $message } отложено, попыток: { $attempts }. Оно ждёт вашего решения: /dl
alert-loop-blocked = 🚨 Программа стояла { $for_s } с, актор <b>{ $actor }</b>. Где именно, видно в журнале.
alert-policy-reverted = ↩ { $key }: { $old } → { $new }. Срок изменения вышел.
# Оповещение другого выпуска
alert-other =
    ⚠️ { $what }
    { $arguments }
