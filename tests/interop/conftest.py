"""Fixtures of the interop tests: the packages, and the programs made of them."""
import pytest

from lib import npm
from lib.bull import Board, Bull, redis_socket


@pytest.fixture(scope="session")
def packages(request):
    """The folder that has node_modules in it."""
    try:
        return npm.install(request.config.build)
    except npm.NotInstalled as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def make_bull(packages, house):
    """make_bull(dray, queue="sink", **options of the Queue)"""
    def make(dray, queue="sink", **options):
        bull = Bull(packages, redis_socket(dray), dray.prefix, queue, **options)
        house.closers.append(bull.close)
        return bull
    return make


@pytest.fixture
def bull(make_bull, dray):
    return make_bull(dray)


@pytest.fixture
def make_board(packages, house):
    """make_board(dray, "sink", ...)"""
    def make(dray, *queues):
        board = Board(packages, redis_socket(dray), dray.prefix, *queues)
        house.closers.append(board.close)
        return board
    return make
