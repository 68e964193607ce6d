"""The hybrid: ``collaborative`` fits what its sources need, ``mixture`` how they are mixed,
``train`` makes the examples that both learn from, and ``export`` writes what they learnt."""
