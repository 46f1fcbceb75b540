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
alert-node-away = 🚨 Узел { $node } не отвечает { $away_s } с. Ничего не потеряно: всё, что его ждёт, уйдёт, как только он вернётся.
alert-node-back = ✅ Узел { $node } вернулся через { $away_s } с. Всё, что ждало, уже в пути.
alert-node-key = 🚨 Узел { $node } не принимает ни один из наших ключей. Пока это так, ему ничего не отправляется; исправьте api_keys в настройках или на узле.
alert-node-certificate = 🚨 Сертификат узла { $node } не принят: истёк или выдан на другое имя.
alert-node-answers-wrong = 🚨 Узел { $node } ответил не про того пользователя. Ответ отброшен. Проверьте, что стоит перед узлом.
alert-node-frozen =
    🧊 Узел { $node } заморожен:
    <i>{ $reason }</i>

    { node-cause }

    ✅ { node-safe }

    🔎 { node-check }

    Чем это закончить и всё, что известно: <code>/nodes { $node }</code>
alert-node-uncompared =
    ⚠️ Узел { $node } принимает изменения, но уже { $for_s } с не удаётся сверить его с базой ({ $error }).

    Покупки и продления идут. Лишние и пропавшие на нём пользователи пока не замечаются. Что он отвечает: <code>/reconcile { $node }</code>
alert-node-empty =
    📦 На узле { $node } никого не осталось: у всех есть ключ на другом.

    Его можно выключать. Чтобы его больше не сверяли: <code>/nodes remove { $node } причина</code>
alert-node-nowhere =
    📦 Пользователей узла { $node } некуда перевести: ни один другой узел их тарифа не отвечает или нет мест.

    Доступ у них остаётся, попытка повторяется раз в минуту. Добавьте узел, поднимите его ёмкость или назовите больше узлов в тарифе.
alert-expiry-held =
    🕰 Ничей доступ сейчас не заканчивается: { $why }.

    ✅ Пока всё безопасно: никто не теряет доступ, покупки и продления работают.

    🔎 Проверьте часы этой машины и машины базы. Неверные исправьте, дальше всё пойдёт само. Если время действительно такое: <code>/expiry confirm причина</code>
# Оповещение другого выпуска
alert-other =
    ⚠️ { $what }
    { $arguments }
alert-manual-payment =
    💬 <code>{ $user_id }</code> сообщает об оплате: { $price }, тариф { $plan }.

    Деньги пришли? Заказ <code>{ $purchase_id }</code>
alert-payment-held =
    ⚠️ Платёж #{ $number } ждёт решения: { $price }, { way-name }, от <code>{ $user_id }</code>. { $reason }

    Все такие платежи: /held
alert-refund-by-hand =
    ↩ Платёж #{ $number } нужно вернуть вручную: { $price }, { way-name }, получатель <code>{ $user_id }</code>. { $reason }

    Когда вернёте: <code>/refunded { $number }</code>
alert-refund-stuck = ⚠️ Возврат платежа #{ $number } пока не проходит: { $reason }. Попытки продолжаются.
alert-run-away =
    🚨 Пользователю <code>{ $user_id }</code> едва не начислено больше времени, чем можно. Предел ({ bound-name }): { $limit_s }.

    <code>/why { $user_id }</code>
alert-key-set-aside =
    🚨 Узел { $node } не принимает ключ { $key } пользователя <code>{ $user_id }</code>: { $wish ->
        [present] доступ положен, но его нет
       *[absent] ключ должен быть отключён, но работает
    }. Следующая попытка — после перезапуска программы.

    <code>/why { $user_id }</code>
alert-payment-odd =
    ℹ️ Платёж #{ $number } от <code>{ $user_id }</code> зачтён, но необычен: { $flag ->
        [late] пришёл поздно
        [over] больше цены
        [duplicate] заказ уже был оплачен
       *[other] { $flag }
    }
