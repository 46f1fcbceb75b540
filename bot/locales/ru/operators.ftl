# Для владельцев: что они видят и делают, пока программа работает. Имена, состояния и числа
# одинаковы во всех языках и те же, что в командной строке.

operator-refused = ✗ { $why }
operator-not-now =
    ⏳ Сейчас нет ответа: база данных или актор заняты или недоступны. Загляните через минуту.

    Прежде чем повторять изменение, проверьте: оно могло произойти.

# Политики

policy-list =
    <pre>{ $list }</pre>
    { $more ->
        [0] * изменено. Границы: <code>/policy { $group }</code>. Как менять: /policy help
       *[other] … и ещё строк: { $more }. Одна группа: <code>/policy { $group }</code>
    }
policy-no-group = Группы { $group } нет. Есть: { $groups }.
policy-changed = { $key }: { $old } → { $new }
policy-changed-until = { $key }: { $old } → { $new } до { $until }
policy-undone = ↩ { $key }: { $old } → { $new }
policy-undone-until = ↩ { $key }: { $old } → { $new } до { $until }
policy-forecast =
    { $key }: { $old } → { $new }, только проба: ничего не изменено.

    За { $within }: перезапусков { $restarts }, акторов { $actors }.
    Слишком много перезапусков: { $before } → { $after }
policy-history =
    <pre>{ $list }</pre>
    { $more ->
        [0] Вернуть одно: <code>/policy undo { $newest }</code>
       *[other] … и ещё { $more }. Вернуть одно: <code>/policy undo { $newest }</code>
    }
policy-no-history = Политики ещё не меняли.
policy-usage =
    <code>/policy</code> – все значения
    <code>/policy users</code> – одна группа, с границами
    <code>/policy try users.max_restarts 5</code> – что было бы
    <code>/policy set users.max_restarts 5 15m причина</code> – изменить; срок и причину можно опустить
    <code>/policy undo 12</code> – вернуть изменение
    <code>/policy history</code> – последние изменения
button-undo = ↩ Вернуть

# Акторы

actors =
    Акторов: { $actors }, с бедой: { $troubled }
    <pre>{ $tree }</pre>
    { $more ->
        [0] Заглянуть в одного: /actor ИМЯ
       *[other] … и ещё { $more }, из них с бедой: { $more_troubled }
    }
actor =
    <b>{ $actor }</b>
    <pre>{ $figures }</pre>
    { $more ->
        [0] Что можно сделать: /actor help
       *[other] … и ещё строк: { $more }
    }
actor-suspended = ⏸ { $actor }: сообщения ждут, пока его не возобновят.
actor-not-from-here =
    ✗ { $actor } передаёт то, что вы здесь пишете: остановленный, он не услышит команды продолжать. Из терминала:
    <code>tollgate actor suspend { $actor }</code>
actor-resumed = ▶️ { $actor }: сообщения снова проходят.
actor-restarts = 🔄 { $actor }: запустится заново после сообщения в работе.
actor-restarts-now = 🔄 { $actor }: запускается заново сразу.
actor-usage =
    <code>/actor ИМЯ</code> – заглянуть внутрь
    <code>/actor suspend ИМЯ причина</code> – пусть сообщения ждут
    <code>/actor resume ИМЯ причина</code> – пустить их дальше
    <code>/actor restart ИМЯ причина</code> – запустить заново после сообщения в работе
    <code>/actor restart ИМЯ now причина</code> – запустить заново сразу

    Имена: /actors

# Отложенные сообщения

letters =
    <pre>{ $list }</pre>
    { $more ->
        [0] Посмотреть одно: <code>/dl show { $newest }</code>
       *[other] … и ещё { $more }. Посмотреть одно: <code>/dl show { $newest }</code>
    }
letters-none = Ни одно сообщение не ждёт решения.
letter =
    <b>#{ $id }</b> { $message } для { $actor }
    { $state ->
        [waiting] Ждёт решения
        [retried] Отправлено снова: { $who }
       *[dropped] Отброшено: { $who }
    }
    { $error }, попыток: { $attempts }, { $at }
    <code>{ $correlation }</code>
    <pre>{ $traceback }</pre>
letter-retried = 🔄 #{ $id }: { $how }
letter-dropped = 🗑 #{ $id } отброшено: над ним больше не работают.
letters-usage =
    <code>/dl</code> – сообщения, которые ждут решения
    <code>/dl show 12</code> – одно из них, с ошибкой
    <code>/dl retry 12</code> – взять в работу снова
    <code>/dl drop 12 причина</code> – больше не работать над ним
button-retry = 🔄 Повторить
button-drop = 🗑 Отбросить навсегда

# Меню владельцев

command-actors = Дерево акторов
command-actor = Один актор: посмотреть, остановить, перезапустить
command-policy = Политики перезапуска
command-dl = Отложенные сообщения
