"""The operators' way in: who may, and what they hear when it cannot be."""

from aiogram import F, Router

from bot.middlewares import OperatorMiddleware
from bot.routers.admin.actors import actors_router
from bot.routers.admin.calls import calls_router
from bot.routers.admin.comparing import comparing_router
from bot.routers.admin.expiry import expiry_router
from bot.routers.admin.letters import letters_router
from bot.routers.admin.nodes import nodes_router
from bot.routers.admin.payments import payments_router
from bot.routers.admin.people import people_router
from bot.routers.admin.policy import policy_router


def supervision_router(
    admins: tuple[int, ...], unanswered: tuple[type[Exception], ...], *, operations: bool
) -> Router:
    """All commands of owners and their buttons; nobody else's text gets in.

    Args:
        admins: ids of the owners.
        unanswered: what an outage raises.
        operations: whether the tree and the nodes can be seen and changed too.
    """
    router = Router(name="supervision")
    # A forwarded message is somebody else's words: it must not act by an owner's hand.
    router.message.filter(
        F.from_user.id.in_(admins), F.forward_origin.is_(None), F.sender_chat.is_(None)
    )
    router.callback_query.filter(F.from_user.id.in_(admins))
    for observer in (router.message, router.callback_query):
        observer.middleware(OperatorMiddleware(admins, unanswered))
    router.include_routers(people_router(), payments_router())
    if operations:
        router.include_routers(policy_router(), actors_router(), letters_router())
        router.include_routers(nodes_router(), comparing_router(), calls_router(), expiry_router())
    return router
