"""The step of a training: loss and gradients of a batch, piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from skclr._process import draw_seed
from skclr._training._exchange import GradientExchange
from skclr._training._graphs import UpdateGraphs
from skclr._training._losses import each_sample, is_plain_cross_entropy, weighted
from skclr._training._network import Network, join_answers, parameter_names
from skclr._training._pieces import Piece, draw_nothing, is_mean_of_pieces

Loss = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


class TrainingStep:
    """Computes loss and gradients of a batch, augmented, in pieces that stay in the cache.

    Parameters
    ----------
    network : Network
        Whose parameters get gradients.
    loss : callable
        ``loss(answer, targets, images)`` of a piece, a scalar; of samples with weights, the loss
        of each. It is not called where the network computes cross-entropy and gradients at once.
    criterion : torch.nn.Module
        What the loss calls, which tells whether it is a mean over samples.
    augmentation : callable or None
        Applied to the prepared images of each piece.
    loss_draws_nothing : bool
        Whether calls of `loss` itself, beside the criterion's, may run at the same time: it does
        nothing but call the criterion.
    graphs : UpdateGraphs or None, default=None
        The recordings of the training, which compute what they can on a GPU.

    Attributes
    ----------
    exchange : GradientExchange or None
        What shares the pieces out among processes, where there are several.
    """

    exchange: GradientExchange | None = None

    def __init__(
        self,
        network: Network,
        loss: Loss,
        criterion: nn.Module,
        augmentation: Callable | None,
        *,
        loss_draws_nothing: bool,
        graphs: UpdateGraphs | None = None,
    ):
        self.network = network
        self.loss = loss
        self.criterion = criterion
        self.augmentation = augmentation
        module = network.module
        self.takes_generator = augmentation is not None and "generator" in parameter_names(
            augmentation
        )
        self.cuts = is_mean_of_pieces(criterion, module)
        self.loss_draws_nothing = loss_draws_nothing
        self.reduction = getattr(criterion, "reduction", "")
        # the same bits side by side as in turn
        self.shares = (
            self.cuts
            and network.on_cpu
            and (augmentation is None or self.takes_generator)
            and loss_draws_nothing
            and draw_nothing(criterion, module)
        )
        self.parameters = [part for part in module.parameters() if part.requires_grad]
        self.graphs = graphs if graphs is not None and graphs.take(self) else None

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
    ) -> dict[str, Any]:
        """Return ``loss`` and ``y_pred`` of a batch, and leave the gradients at the parameters."""
        if weights is None:
            return self._computed(self._pieces(images, targets, None))
        if not self.network.on_cpu:
            weights = weights.to(self.network.device)
        weights = weights * (len(weights) / weights.sum())  # of the whole batch, before it is cut
        with each_sample(self.criterion):
            return self._computed(self._pieces(images, targets, weights))

    def _computed(self, pieces):
        if self.exchange is not None or (self.shares and len(pieces) > 1):
            return self._side_by_side(pieces)
        if self.graphs is not None and (recorded := self.graphs(self, pieces)) is not None:
            return recorded
        losses, answers = [], []
        for piece in pieces:
            images = self.images_of(piece)
            if (outcome := self._at_once(images, piece)) is not None:
                loss, answer, gradients = outcome
                self._accumulate(gradients)
            else:
                answer = self.network.answer(images)
                loss = self.loss_of(answer, images, piece)
                if len(pieces) > 1:
                    loss = loss * piece.share
                loss.backward()
            losses.append(loss.detach())
            answers.append(answer)
        return {"loss": sum(losses), "y_pred": join_answers(answers)}

    def _at_once(self, images, piece):
        """Return loss, answer and gradients if the network computes all of them itself, or None."""
        if not (
            self.loss_draws_nothing
            and piece.weights is None
            and is_plain_cross_entropy(self.criterion)  # now: callbacks may change it
        ):
            return None
        return self.network.cross_entropy(images, piece.targets, piece.n_total, self.parameters)

    def _accumulate(self, gradients):
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if gradient is None:  # of one that the loss does not depend on
                continue
            # compiled code returns them as it likes, and optimizers expect those of the parameter
            if gradient.stride() != parameter.stride():
                gradient = torch.empty_like(parameter).copy_(gradient)
            _add_gradient(parameter, gradient)

    def _side_by_side(self, pieces):
        """Give each thread a piece at a time; add up the gradients in the order of the pieces.

        Where there are several processes, each does that with its share of the pieces.
        """
        exchange = self.exchange

        def by_share(images, piece):
            answer = self.network.answer(images)
            loss = self.loss_of(answer, images, piece)
            share = loss.new_tensor(piece.share)
            gradients = torch.autograd.grad(loss, self.parameters, share)
            return loss.detach() * share, detached(answer), gradients

        def as_in_turn(images, piece):
            answer = self.network.answer(images)
            loss = self.loss_of(answer, images, piece)
            if len(pieces) > 1:
                loss = loss * piece.share
            gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
            return loss.detach(), detached(answer), gradients

        by_torch = by_share if self.shares else as_in_turn

        def compute(piece):
            images = self.images_of(piece)
            return self._at_once(images, piece) or by_torch(images, piece)

        totals: list[torch.Tensor | None]
        if exchange is None:
            outcomes = self.network.side_by_side(compute, pieces)
            losses, answers, gradients = map(list, zip(*outcomes, strict=True))
            totals = [added_up(parts) for parts in zip(*gradients, strict=True)]
        else:
            losses, answers, totals = exchange(compute, pieces)
        self._accumulate(totals)
        return {"loss": sum(losses), "y_pred": join_answers(answers)}

    def _pieces(self, images, targets, weights):
        n = len(targets)
        parts = self.network.cut(n, shared=self.shares) if self.cuts else [slice(n)]
        # every seed is drawn before anything is computed, so that the order does not matter
        return [
            Piece(
                images[part],
                targets[part],
                n,
                self._generator(),
                None if weights is None else weights[part],
            )
            for part in parts
        ]

    def _generator(self):
        """Return what a piece's augmentation draws from, where it takes a generator."""
        return torch.Generator().manual_seed(draw_seed()) if self.takes_generator else None

    def images_of(self, piece: Piece) -> torch.Tensor:
        """Return the images of a piece prepared and augmented."""
        images = self.network.prepare(piece.images)
        if self.augmentation is not None:
            images = augmented(self.augmentation, images, piece.generator)
        return images

    def loss_of(self, answer: Any, images: torch.Tensor, piece: Piece) -> torch.Tensor:
        """Return the loss of the network's answer to the images of a piece, weighted if it is."""
        loss = self.loss(answer, piece.targets, images)
        if piece.weights is not None:
            loss = weighted(loss, piece.weights, self.reduction)
        return loss


def _add_gradient(parameter, gradient):
    """Add to the gradient of a parameter as torch does: in its memory, where it has one."""
    there = parameter.grad
    if there is None:
        parameter.grad = gradient
    elif there.requires_grad or there.layout != torch.strided:
        parameter.grad = there + gradient
    else:
        there.add_(gradient)


def added_up(gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the sum of gradients in their order, in the memory of the first one."""
    total, *others = gradients
    for gradient in others:
        total.add_(gradient)
    return total


def detached(answer: Any) -> Any:
    """Return an answer without what it was computed from."""
    if isinstance(answer, tuple):
        return tuple(map(detached, answer))
    return answer.detach()


def augmented(
    augmentation: Callable, images: torch.Tensor, generator: torch.Generator | None
) -> torch.Tensor:
    """Return augmented images, or raise ValueError unless they are like those that went in."""
    given = {} if generator is None else {"generator": generator}
    changed = augmentation(images, **given)
    if not isinstance(changed, torch.Tensor):
        got = type(changed).__name__
    elif changed.shape != images.shape or changed.dtype != images.dtype:
        got = f"{changed.dtype} of shape {tuple(changed.shape)}"
    else:
        return changed
    raise ValueError(
        f"augmentation must return a tensor like the one it was given, {images.dtype} of shape "
        f"{tuple(images.shape)}, got {got}."
    )
