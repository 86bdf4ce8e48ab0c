"""Check a plan before anything is computed."""

from __future__ import annotations

from components.common.paths import home
from components.data.text.package import need_encoder
from components.extractors import perceptual_network
from components.families.catalogue import build, features_of, untrained
from components.pipeline import anomaly_models, captions, extractor, train
from components.pipeline.plan import Plan
from components.publishing import formats
from components.stages.cache import claimed
from components.store import Store, open_store
from components.training.warm_start import load_initial, warm_start


def check(plan: Plan, store: Store) -> None:
    """Check the plan, and build each network that is to be trained.

    Raises:
        InputError: settings do not fit the data or the batches, no weight of the model to begin with fits,
            captions cannot be encoded, the network of a perceptual loss is missing, the extractor's weights
            are not the expected ones, `publish.url` is not the URL of a store, or a package is missing that
            one of `publish.formats` needs.
    """
    formats.need(plan.experiment.publish.formats)
    if plan.experiment.publish.url:
        open_store(plan.experiment.publish.url, home())
    if not claimed(store, extractor.spec(plan)):
        extractor.check(plan)
    anomaly_models.check(plan)
    plan.check_population()
    blocks = {family: plan.family_settings(family) for family in plan.experiment.families}
    for family, block in blocks.items():
        if not claimed(store, train.spec(plan, family)):
            card = plan.card_for(family)
            settings = plan.experiment.training(family)
            built = build(family, block, card, untrained(family, card, blocks), settings)
            if settings.initial:
                warm_start(built, load_initial(store, settings.initial), settings.initial)
            if network := features_of(family, block):
                perceptual_network.check(network, card.resolution)
    if captions.applies(plan) and not claimed(store, captions.spec(plan)):
        need_encoder()
