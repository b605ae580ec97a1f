"""The computation of an update recorded as a CUDA graph, and launched as a whole from then on.

A GPU computes loss and gradients of a batch of a network like LeNet-5 faster than Python starts
their operations one by one. Recorded once for batches of a form, they are started all at once: the
same operations on the same numbers.
"""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.module import _has_any_global_hook

from skclr._training._captures import Captures
from skclr._training._network import join_answers
from skclr._training._pieces import Piece, draw_nothing
from skclr.augmentation import RandomShiftFlip

if TYPE_CHECKING:
    from skclr._training._step import TrainingStep

_TIMES_BEFORE = 20  # a recording takes as long as some tens of updates without one
_MOST_AT_ONCE = 8
_KINDS_OF_HOOKS = (
    "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks",
)  # fmt: skip


class UpdateGraphs:
    """The recordings of a training: one for each form of batch that comes often enough.

    Only what gives the same numbers is recorded. For anything else the answer is None, and the
    step computes one operation after the other.

    Attributes
    ----------
    n_launches : int
        How many updates were recorded ones.
    """

    def __init__(self) -> None:
        self._step: TrainingStep | None = None
        self._description: Hashable = None
        self._hooks: list[Any] = []
        self._parameters: list[nn.Parameter] = []
        self._state: list[Any] = []
        self._recordings: OrderedDict[Hashable, Recording] = OrderedDict()
        self._seen: Counter[Hashable] = Counter()
        self._captures: Captures | None = None
        self._has_failed = False
        self.n_launches = 0

    def take(self, step: TrainingStep) -> bool:
        """Tell whether a step can be recorded, and forget recordings that are none of it."""
        if self._has_failed or not can_be_recorded(step):
            return False
        module = step.network.module
        self._parameters = list(module.parameters())
        self._hooks = [vars(part)[kind] for part in module.modules() for kind in _KINDS_OF_HOOKS]
        self._state = _state_of(self._parameters)
        description = (_description(step), tuple(self._state))
        if description != self._description:
            self._recordings.clear()
            self._seen.clear()
        self._step, self._description = step, description  # a step keeps alive what has an id
        return True

    def __call__(self, step: TrainingStep, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """Return ``loss`` and ``y_pred``, gradients left at the parameters; None: not recorded."""
        if not self._is_as_taken(step):
            return None
        form = (_settings(step.criterion), *map(_form, pieces))
        if form not in self._recordings:
            self._seen[form] += 1
            if self._seen[form] <= _TIMES_BEFORE or not self._record(form, step, pieces):
                return None
        self._recordings.move_to_end(form)
        self.n_launches += 1
        return self._recordings[form](step, pieces)

    def _is_as_taken(self, step: TrainingStep) -> bool:
        """Tell whether nothing has changed since the step was taken that an update goes by."""
        return (
            not self._has_failed
            and self._state == _state_of(self._parameters)
            and not any(self._hooks)
            and not _has_any_global_hook()
            and all(parameter.grad is None for parameter in step.parameters)
        )

    def _record(self, form: Hashable, step: TrainingStep, pieces: Sequence[Piece]) -> bool:
        """Add a recording, or tell that there will be none any more, since torch cannot make it."""
        try:
            if self._captures is None:
                self._captures = Captures(step.network.device)
            self._recordings[form] = Recording(step, pieces, self._captures)
        except RuntimeError as error:
            self._has_failed = True
            self._recordings.clear()
            warnings.warn(
                f"The update could not be recorded as a CUDA graph: {error} The training goes on "
                "without one, with the same numbers, only slower.",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        if len(self._recordings) > _MOST_AT_ONCE:
            self._recordings.popitem(last=False)
        return True


class Recording:
    """Loss and gradients of batches of one form, recorded.

    Parameters
    ----------
    step : TrainingStep
        Whose computation it is.
    pieces : sequence of Piece
        Of the form; their values play no part, and nothing is drawn.
    captures : Captures
        What records it.
    """

    def __init__(self, step: TrainingStep, pieces: Sequence[Piece], captures: Captures):
        self._inputs = [_Inputs(step, piece) for piece in pieces]
        # leaves of their own: gradients that are under way elsewhere have no part in these
        self._leaves = {
            name: parameter.detach().requires_grad_()
            for name, parameter in step.network.module.named_parameters()
            if parameter.requires_grad
        }
        self._sizes = [leaf.numel() for leaf in self._leaves.values()]
        with torch.enable_grad():
            outcome, self._launch = captures(lambda: self._computed(step))
        self._loss, self._answer, self._gradients = outcome

    def _computed(self, step):
        """Return loss, answer and all gradients in a row, of what lies in the inputs."""
        losses: list[torch.Tensor] = []
        answers: list[torch.Tensor] = []
        totals: list[torch.Tensor] = []
        for inputs in self._inputs:
            images = inputs.images(step)
            answer = torch.func.functional_call(step.network.module, self._leaves, (images,))
            loss = step.loss_of(answer, images, inputs.piece)
            if len(self._inputs) > 1:
                loss = loss * inputs.piece.share
            gradients = torch.autograd.grad(loss, list(self._leaves.values()))
            losses.append(loss.detach())
            answers.append(answer.detach())
            if totals:
                for total, gradient in zip(totals, gradients, strict=True):
                    total.add_(gradient)
            else:
                totals.extend(gradients)
        in_a_row = torch.cat([total.reshape(-1) for total in totals])
        return sum(losses), join_answers(answers), in_a_row

    def __call__(self, step: TrainingStep, pieces: Sequence[Piece]) -> dict[str, Any]:
        """Return ``loss`` and ``y_pred``, and leave the gradients at the parameters.

        They are copies, which callbacks may keep: the next launch overwrites the recorded ones.
        """
        with torch.no_grad():
            for inputs, piece in zip(self._inputs, pieces, strict=True):
                inputs.fill(step, piece)
            self._launch()
            parts = self._gradients.clone().split(self._sizes)
            for parameter, part in zip(step.parameters, parts, strict=True):
                parameter.grad = part.view(parameter.shape)
            return {"loss": self._loss.clone(), "y_pred": self._answer.clone()}


class _Inputs:
    """What a recording reads: tensors in a fixed place, for a piece of a batch.

    The preparation of images is recorded with the rest, and so is the augmentation of this package,
    of which the draws are an input. Any other one is called before, and its outcome is the input.
    """

    def __init__(self, step: TrainingStep, piece: Piece):
        network, augmentation = step.network, step.augmentation
        n, device = len(piece.targets), network.device
        self._prepare = network.state.preparation()  # whose tensors nobody else replaces
        self._shift_flip = augmentation if type(augmentation) is RandomShiftFlip else None
        self._come_augmented = augmentation is not None and self._shift_flip is None
        shape, dtype = tuple(piece.images.shape), piece.images.dtype
        if self._come_augmented:
            channels = network.state.input_shape.image_shape[0]
            shape, dtype = (n, channels, *network.state.image_size), network.dtype
        self._drawn = torch.full((3, n), 0.5, dtype=torch.float64, device=device)
        weights = piece.weights
        self.piece = Piece(
            torch.zeros(shape, dtype=dtype, device=device),
            torch.zeros_like(piece.targets, device=device),
            piece.n_total,
            weights=None if weights is None else torch.ones_like(weights, device=device),
        )

    def images(self, step: TrainingStep) -> torch.Tensor:
        """Return the images that the network is given; this is recorded."""
        if self._come_augmented:
            return self.piece.images
        images = self._prepare(self.piece.images).to(step.network.dtype)
        return images if self._shift_flip is None else self._shift_flip.moved(images, self._drawn)

    def fill(self, step: TrainingStep, piece: Piece) -> None:
        """Copy what belongs to a piece to where the recording reads it."""
        if self._shift_flip is not None:
            drawn = self._shift_flip.draw(len(piece.targets), piece.generator, "cpu")
            self._drawn.copy_(drawn)
        self.piece.images.copy_(step.images_of(piece) if self._come_augmented else piece.images)
        self.piece.targets.copy_(piece.targets)
        if self.piece.weights is not None and piece.weights is not None:
            self.piece.weights.copy_(piece.weights)


def can_be_recorded(step: TrainingStep) -> bool:
    """Tell whether the update of a step is known to give the same numbers when it is recorded.

    It is where a GPU of NVIDIA's computes plain layers and a plain criterion, whose answers depend
    on their input alone, without hooks, mixed precision or torch.compile.
    """
    network = step.network
    return (
        has_graphs(network.device)
        and step.loss_draws_nothing
        and step.cuts
        and draw_nothing(step.criterion, network.module)
        and not network.is_compiled
        and not torch.is_autocast_enabled(network.device.type)
        and not torch.is_anomaly_enabled()
        and bool(step.parameters)
        and all(_is_plain(parameter, network.device) for parameter in network.module.parameters())
        and len({parameter.dtype for parameter in step.parameters}) == 1
        and not any(True for _ in network.module.buffers())
    )


def has_graphs(device: torch.device) -> bool:
    """Tell whether this is a GPU on which computations can be captured."""
    return device.type == "cuda" and torch.version.hip is None


def _is_plain(parameter: nn.Parameter, device: torch.device) -> bool:
    return (
        type(parameter) is nn.Parameter
        and parameter.device == device
        and parameter.is_contiguous()
        and not parameter._backward_hooks
        and not getattr(parameter, "_post_accumulate_grad_hooks", None)
    )


def _state_of(parameters: Sequence[nn.Parameter]) -> list[Any]:
    """Return where the parameters lie, and which of them are trained."""
    return [(parameter.data_ptr(), parameter.requires_grad) for parameter in parameters]


def _description(step: TrainingStep) -> Hashable:
    """Return what tells the computation of a step from another one's."""
    parts = [(id(part), part.extra_repr()) for part in step.network.module.modules()]
    others: list[Callable | Any] = [step.criterion, step.network.state, step.augmentation]
    return tuple(parts), *map(id, others), step.network.dtype


def _settings(criterion: nn.Module) -> Hashable:
    """Return the numbers and words that a criterion goes by, which callbacks may change."""
    plain = (bool, int, float, str)
    return tuple(item for item in vars(criterion).items() if isinstance(item[1], plain))


def _form(piece: Piece) -> Hashable:
    tensors = (piece.images, piece.targets, piece.weights)
    return tuple(None if part is None else (part.shape, part.dtype) for part in tensors)
