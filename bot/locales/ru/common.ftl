# Моменты, отрезки времени и цены: так их показывают все остальные тексты.

moment = { $day } { $month ->
    [1] января
    [2] февраля
    [3] марта
    [4] апреля
    [5] мая
    [6] июня
    [7] июля
    [8] августа
    [9] сентября
    [10] октября
    [11] ноября
   *[12] декабря
} { $year }, { $time } UTC
duration-days = { $count ->
    [one] { $count } день
    [few] { $count } дня
    [many] { $count } дней
   *[other] { $count } дня
}
duration-hours = { $count ->
    [one] { $count } час
    [few] { $count } часа
    [many] { $count } часов
   *[other] { $count } часа
}
duration-minutes = { $count ->
    [one] { $count } минута
    [few] { $count } минуты
    [many] { $count } минут
   *[other] { $count } минуты
}
price = { $currency ->
    [XTR] { $amount } ⭐
   *[other] { $amount } { $currency }
}

# Имена, которые встречаются в других текстах

way-name = { $provider ->
    [stars] Звёзды Telegram
    [cryptopay] Crypto Pay
    [card] Банковская карта
    [manual] Перевод
   *[other] { $provider }
}
who-name = { $kind_of_who ->
    [owner] владелец { $who }
    [buyer] покупатель
    [program] программа
    [provider] { way-name }
   *[other] { $who }
}
bound-name = { $bound ->
    [row] один подарок
    [user_day] время одного пользователя за день
    [shop_day] все подарки за день
    [horizon] доступ наперёд
   *[other] { $bound }
}

# Кнопки

button-buy = Купить от { $price }
button-extend = Продлить от { $price }
button-plan = { $plan } · { $price }
button-plans = Посмотреть тарифы
button-link = 🔑 Моя ссылка
button-connect = Как подключиться
button-help = Помощь
button-language = Язык
button-english = English
button-russian = Русский
button-back = ‹ Назад
button-way = { way-name } · { $price }
button-pay = Оплатить { $price }
button-have-paid = ✓ Оплачено
button-cancel-order = Отменить
button-try = 🎁 Бесплатная проба: { $time }
button-new-link = Новая ссылка
button-lost = Ссылка потерялась или новое устройство
button-leaked = Она у кого-то ещё: отключить сразу
button-renew = Продлить
button-card = Мой доступ

# Строки поверх чата после нажатия: не больше 200 знаков

toast-invoice-above = Счёт уже в чате, чуть выше.
toast-outdated = Эта кнопка устарела. Вот свежая.
toast-failed = Не получилось, и виноваты мы. Нам уже сообщили. Ничего из оплаченного не пропало.
toast-not-now = Минутку: сейчас чуть дольше обычного. Всё сделается само.

# Меню команд

command-start = Ваш доступ
command-buy = Тарифы и цены
command-link = Показать ссылку
command-help = Как подключиться
command-language = Выбрать язык
command-terms = Условия
command-paysupport = Вопрос об оплате
