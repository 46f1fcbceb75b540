# Для владельцев: узлы и конец доступа. Исходы и причины, для которых здесь нет слов, приходят
# словами самой программы.

# Что стоит внутри других текстов

node-state = { $state ->
    [active] в работе
    [draining] освобождается
    [frozen] заморожен
    [lost] оставлен
    [removed] убран
   *[other] { $state }
}
node-calls = { $calls ->
    [closed] отвечает
    [open] не отвечает
    [half_open] проверяется снова
    [isolated] не вызывается по приказу владельца
    [held_closed] вызывается при любых ответах по приказу владельца
    [key] не принимает ни один из наших ключей
   *[other] его нет в настройках
}
node-outcome = { $outcome ->
    [never] ещё не было
    [equal] совпадает
    [differs] расходится
    [mended] расходилось, исправлено
    [watched] замечены пользователи без права, на них посмотрят ещё раз
    [frozen] заморожен: никого не удаляют
    [would-freeze] расходится так сильно, что будет заморожен
    [met] увидели впервые
    [another-store] его хранилище новое: всё отправляется снова
    [older-store] его хранилище старое: всё отправляется снова
    [away] не отвечал
    [key-refused] не принял ни один из наших ключей
    [gone] узел оставлен
   *[other] { $outcome }
}
node-cause = { $cause ->
    [backup] Он видел изменения, о которых наша база не знает. Похоже, базу восстановили из копии.
    [foreign] В него писала другая база: с этим узлом работает второй сервер, копия или проба.
    [strangers] На нём есть пользователи, а в нашей базе их там никогда не было. Возможно, это не та база или не тот узел.
    [many] На нём больше пользователей без права, чем можно удалить, не спросив.
   *[other] Его остановил человек или причина, для которой здесь нет слов.
}
node-check = { $cause ->
    [backup] Базу восстанавливали? Платежи после копии сами находятся снова у Stars и Crypto Pay: подождите минут десять и посмотрите /held. Карты и переводы не находятся: проверьте их вручную.
    [foreign] Остановите второй сервер или дайте ему свой узел. Не меняли ли <code>database.url</code> в настройках?
    [strangers] Верны ли в настройках <code>database.url</code> и адрес этого узла?
    [many] Сверьте и посмотрите, кто это. Их добавили на узле вручную, или из базы пропали строки?
   *[other] Спросите того, кто заморозил, и сверьте, прежде чем продолжать.
}
node-safe =
    Пока всё безопасно: с узла никого не удаляют, покупки и продления работают. У кого время выйдет или кому вы закроете доступ, тот останется, пока вы не решите.

node-users = { $users ->
    [one] { $users } пользователя
   *[other] { $users } пользователей
}

# Все узлы

node-list =
    Узлов: { $nodes }, стоит взглянуть: { $troubled }

    { $list }
    { $more ->
        [0] Что можно сделать: /nodes help
       *[other] … и ещё { $more }
    }
node-list-none = Узлов нет.
node-line = { $mark } { $node }: { node-state }, { node-calls }. Пользователей { $users }, изменений ждёт { $waiting }. Последняя сверка: { node-outcome }.
node-none = ✗ Узла { $node } нет. Есть: { $nodes }.

# Один узел

node-frozen =
    🧊 <b>{ $node }</b> заморожен с { $at } ({ who-name }):
    <i>{ $reason }</i>

    { node-cause }

    ✅ { node-safe }

    🔎 { node-check }

    Затем закончите это, назвав причину:
    <code>/nodes unfreeze { $node } причина</code> – права база; немногие без права уйдут сами, а если их много, узел замёрзнет снова
    <code>/nodes adopt { $node } причина</code> – прав узел; все его пользователи остаются
    <code>/nodes confirm { $node } { $orphans } причина</code> – { $orphans ->
        [N] сразу удалить N пользователей без права; сколько их, покажет сверка
       *[other] сразу удалить пользователей без права: { $orphans }; бот переспросит
    }

    { node-figures }
node-page =
    { $mark } <b>{ $node }</b>: { node-state }
    С { $at } ({ who-name }): <i>{ $reason }</i>

    { node-figures }

    { node-advice }
node-figures =
    Пользователей: { $users }{ $capacity ->
        [none] { "" }
       *[other] {" "}из { $capacity }
    }, переезжают: { $moving }. Изменений ждёт: { $waiting }, отложено: { $aside }
    Вызовы: { node-calls }
    Последняя сверка: { node-outcome }; не хватает { $missing }, без права { $found }{ $why ->
        [none] { "" }
       *[other] {" "}({ $why })
    }
node-advice = { $advice ->
    [well] Делать ничего не нужно.
    [open] Ничего не потеряно: что его ждёт, уйдёт, как только он ответит, и его спрашивают снова. Работают ли машина, служба узла и сеть между ними?
    [isolated] Ничего не потеряно: что его ждёт, уйдёт, когда приказ отменят: <code>/breaker release { $node } причина</code>
    [held_closed] Снова решать по его ответам: <code>/breaker release { $node } причина</code>
    [key] Ему ничего не отправляется. Исправьте <code>api_keys</code> в настройках или на узле.
    [aside] Он не принимает некоторые ключи: какие, сказано в оповещениях. Исправив это, перезапустите программу: их попробуют снова.
    [draining] Новых на него не отправляют, его пользователи переезжают на другие узлы. Вернуть: <code>/nodes activate { $node } причина</code>. Когда опустеет: <code>/nodes remove { $node } причина</code>
    [lost] Его пользователи переехали на другие узлы. Когда он вернётся: <code>/nodes activate { $node } причина</code>
    [removed] На нём никого нет. Вернуть: <code>/nodes activate { $node } причина</code>
   *[unknown] Его нет в настройках: там никого нельзя ни впустить, ни отключить. Верните его или переселите пользователей: <code>/nodes lost { $node } причина</code>
}
nodes-usage =
    <code>/nodes</code> – все узлы
    <code>/nodes de-1</code> – один: что не так и что делать
    <code>/nodes freeze de-1 причина</code> – никого не удалять; новый доступ работает
    <code>/nodes unfreeze de-1 причина</code> – продолжать: права база
    <code>/nodes adopt de-1 причина</code> – продолжать: все его пользователи остаются
    <code>/nodes confirm de-1 25 причина</code> – удалить 25 пользователей без права и продолжать
    <code>/nodes drain de-1 причина</code> – переселить пользователей на другие узлы
    <code>/nodes lost de-1 причина</code> – он не вернётся: то же, но без него
    <code>/nodes remove de-1 причина</code> – пустой узел больше не нужен
    <code>/nodes activate de-1 причина</code> – снова в работу

    Сверка: /reconcile. Вызовы: /breaker
node-say-why = Назовите причину, для записи: <code>/{ $words } причина</code>

# Что стало с желанием

node-is-frozen =
    🧊 { $node } заморожен: с него никого не удаляют, новый доступ работает.

    Закончить: <code>/nodes unfreeze { $node } причина</code>
node-is-unfrozen = ▶️ { $node } снова в работе. Немногие без права уйдут сами; если их много, узел замёрзнет снова.
node-is-adopted = ▶️ { $node } снова в работе. Осталось пользователей, которых база не знает: { $users }.
node-is-confirmed = ▶️ { $node } снова в работе. Удалено пользователей без права: { $users }.
node-is-drain = 🚚 { $node } освобождается. Переезжает пользователей: { $users }. Как идёт: <code>/nodes { $node }</code>
node-is-lost = ⚫ { $node } оставлен. Переезжает пользователей: { $users }. Как идёт: <code>/nodes { $node }</code>
node-is-removed = ⚫ { $node } больше не используется.
node-is-active = ▶️ { $node } в работе.
node-nobody-to-remove =
    На { $node } нет никого без права, удалять некого. Продолжать:
    <code>/nodes unfreeze { $node } причина</code>
node-more-than-said =
    ✗ На { $node } пользователей без права { $found }, больше чем { $users }. Никто не удалён. Если нужно удалить всех:
    <code>/nodes confirm { $node } { $found } причина</code>
node-not-compared = ✗ { $node } не удалось сверить: { node-outcome }. Ничего не изменилось. <code>/nodes { $node }</code>
ask-node-confirm =
    Удалить с { $node } { node-users }? Они потеряют доступ сразу. Затем узел снова в работе.

    <blockquote>{ $reason }</blockquote>
ask-node-drain =
    Переселить с { $node } на другие узлы { node-users }? Каждый получит новую ссылку, и старая тогда перестанет работать. Новых на узел не отправят.

    <blockquote>{ $reason }</blockquote>
ask-node-lost =
    Оставить { $node } и переселить на другие узлы { node-users }? Каждый получит новую ссылку. Узел больше не вызывается, и кто там подключён, может остаться, пока его не выключат.

    <blockquote>{ $reason }</blockquote>

# Сверка

compared =
    { $dry ->
        [yes] 🔎 Только посмотрели, ничего не изменено:
       *[no] ✓ Сверено:
    }

    { $list }

    { $advice ->
        [equal] Делать ничего не нужно.
        [mend] Если исправить: кого не хватает, впустят сразу. Кто без права, уйдёт, когда его увидят дважды с промежутком в минуту; если таких много, узел замёрзнет.
        [frozen] С замороженного узла никого не удаляют. Что делать: <code>/nodes { $node }</code>
        [done] Что теперь: /nodes
       *[away] Кого не удалось сверить, сверяют каждую минуту сами.
    }
reconcile-usage =
    <code>/reconcile</code> – чем все узлы расходятся с базой; ничего не меняется
    <code>/reconcile de-1</code> – один узел

    Кнопка под ответом исправляет.
compared-line = { $node }: { node-outcome }. Там { $there }, нужно { $wanted }, не хватает { $missing }, без права { $found }.
compared-done = Запрошено снова { $raised }, удалено { $removed }.
compared-who = Среди них: { $sample }

# Вызовы

breakers = { $list }
breakers-none = В настройках нет узлов.
breaker-line = { $node }: { node-calls }.
breaker-away = Нет на связи { $time }.
breaker-next = Спросят снова через { $span }.
breaker-pace = Вызовов сразу: { $calls_at_a_time }.
breaker-isolate = ⏸ { $node } не вызывается { $time }. Ничего не потеряно: что его ждёт, подождёт. Закончить: <code>/breaker release { $node } причина</code>
breaker-close = ▶️ { $node } вызывается { $time } при любых ответах. Закончить: <code>/breaker release { $node } причина</code>
breaker-release = ▶️ { $node }: снова решают его ответы. Сейчас: { node-calls }.
breaker-until-released = до отмены
breaker-for = в течение { $span }
breaker-usage =
    <code>/breaker</code> – вызываются ли узлы
    <code>/breaker isolate de-1 for 15m причина</code> – не вызывать; срок можно опустить
    <code>/breaker close de-1 for 15m причина</code> – вызывать при любых ответах
    <code>/breaker release de-1 причина</code> – снова решать по ответам

# Конец доступа

expiry-goes-on = 🕰 Доступ заканчивается как должен. С запуска: закончено { $ended }, напоминаний { $reminded }.
expiry-off =
    🕰 Окончание доступа выключено: доступ не теряет никто, даже у кого время вышло. С запуска: закончено { $ended }, напоминаний { $reminded }.

    Включить: <code>/policy set expiry.enabled on</code>
expiry-silent =
    🕰 Доступ заканчивается как должен, напоминания выключены. С запуска: закончено { $ended }, напоминаний { $reminded }.

    Включить: <code>/policy set expiry.reminders on</code>
expiry-held =
    🕰 Ничей доступ сейчас не заканчивается:
    <i>{ $why }</i>

    ✅ Пока всё безопасно: никто не теряет доступ, покупки и продления работают. Вышедшее время закончится позже.

    🔎 Проверьте часы этой машины и машины базы: <code>timedatectl</code>. Неверные исправьте, дальше всё пойдёт само.

    Время действительно такое? <code>/expiry confirm причина</code>
expiry-confirmed = ▶️ Доступ снова заканчивается по часам базы.
expiry-usage =
    <code>/expiry</code> – заканчивается ли доступ как должен
    <code>/expiry confirm причина</code> – время такое, как говорит база; бот переспросит
ask-expiry =
    Часы базы верны? Если нет, пользователи потеряют оплаченный доступ. Что его держит:
    <i>{ $why }</i>

    <blockquote>{ $reason }</blockquote>

button-node = { $mark } { $node }
button-nodes = ‹ Узлы
button-node-again = 🔄 Ещё раз
button-node-look = 🧭 { $node }: что с ним
button-compare = 🔎 Сверить { $node }
button-mend = ▶️ Исправить: не хватает { $missing }, без права { $found }
button-yes-node-confirm = 🗑 Да, удалить { $users }
button-yes-node-drain = 🚚 Да, переселить { $users }
button-yes-node-lost = ⚫ Да, оставить и переселить { $users }
button-yes-expiry = 🕰 Да, время такое
command-nodes = Узлы: как они и что делать
command-reconcile = Сверить узлы с базой
command-breaker = Вызываются ли узлы
command-expiry = Заканчивается ли доступ как должен
