"""What a LeNet-5 of 61,706 weights gains from which part of a recipe, on held-out images.

    python benchmarks/recipes.py --csv docs/data/recipes.csv      # trains, and prints a table
    python benchmarks/recipes.py --report docs/data/recipes.csv   # prints it from the kept runs

Recipes of 60 epochs that differ from one in one or two respects, trained on 50,000 of the training
images of Fashion-MNIST and judged by the other 10,000, drawn once; the test images play no part in
it. On a fast GPU it takes about three minutes, on a CPU many hours.

That is so because many networks are trained at once: as one stack, whose batches of matrix products
have a matrix a network, and whose updates are recorded once and replayed as a CUDA graph. The
networks of a stack see the same images in the same order, and each has its own recipe, its own
initial weights by its seed, and its own draws of the augmentation. Matrix products are in TF32. The
last images of an epoch that fill no batch are left out of it.

Beside the last weights two exponential averages of the weights are judged, which reach back half an
epoch and three epochs.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from skclr import fetch_fashion_mnist, schedules

START = {  # the recipe from which the others differ
    "batch_size": 64,
    "optimizer": "SGD",
    "max_lr": 0.15,
    "weight_decay": 3e-4,
    "momentum": 0.9,
    "nesterov": False,
    "schedule": "one_cycle",  # or, after a climb of two epochs, cosine, linear, constant
    "pct_start": 0.3,
    "label_smoothing": 0.0,
    "shift": 1.5,  # of images of 32 x 32, in pixels: RandomShiftFlip(shift / 32)
    "interpolation": "nearest",
    "flip": 0.5,  # the share of images that are flipped
    "augmented": 1.0,  # the share of images that are augmented at all
    "sam": 0.0,  # radius of sharpness-aware minimization, which takes two gradients an update
    "max_epochs": 60,
    "seed": 0,
}
N_WARMUP_EPOCHS = 2
AVERAGES = {"average_half": 0.5, "average_three": 3.0}  # how far they reach back, in epochs

SHAPES = {  # of the weights, in the order of LeNet5's
    "w1": (6, 25), "b1": (6,), "w2": (16, 150), "b2": (16,), "w3": (120, 400), "b3": (120,),
    "w4": (84, 120), "b4": (84,), "w5": (10, 84), "b5": (10,),
}  # fmt: skip
SIZES = {name: math.prod(shape) for name, shape in SHAPES.items()}
FANS = {"w1": (25, 150), "w2": (150, 400), "w3": (400, 120), "w4": (120, 84), "w5": (84, 10)}
N_PIECES = 16  # of a batch in the convolutions: how parallel the sums for their gradients are
N_DRAWS = 10  # random numbers an image; the kept runs drew as many, though four are used


def recipes():
    """Return the stacks, each a list of recipes with one batch size."""
    one_by_one = [
        {},
        # augmentation
        {"shift": 3.2, "interpolation": "bilinear"},
        {"shift": 3.2, "interpolation": "bilinear", "weight_decay": 5e-4},
        {"shift": 0.0},
        {"shift": 2.5},
        {"shift": 3.49},
        {"shift": 1.0, "interpolation": "bilinear"},
        {"shift": 2.0, "interpolation": "bilinear"},
        {"flip": 0.0},
        {"augmented": 0.7},
        {"shift": 2.5, "augmented": 0.7},
        # rate and decay
        *(
            {"max_lr": max_lr, "weight_decay": weight_decay}
            for max_lr in (0.05, 0.1, 0.2, 0.4)
            for weight_decay in (0.0, 1e-4, 5e-4, 1e-3)
            if max_lr * weight_decay <= 2e-4
        ),
        # loss, schedule, momentum, optimizer
        {"label_smoothing": 0.05},
        {"label_smoothing": 0.1},
        {"label_smoothing": 0.1, "weight_decay": 1e-4},
        {"schedule": "cosine"},
        {"schedule": "linear"},
        {"pct_start": 0.1},
        {"schedule": "constant", "max_lr": 0.05},
        {"nesterov": True},
        {"momentum": 0.95, "max_lr": 0.075},
        {"momentum": 0.8, "max_lr": 0.3},
        {"optimizer": "AdamW", "max_lr": 1e-3, "weight_decay": 0.01},
        {"optimizer": "AdamW", "max_lr": 1e-3, "weight_decay": 0.1},
    ]
    sharpness_aware = [
        {"sam": radius, "shift": shift} for shift in (1.5, 0.0) for radius in (0.03, 0.1)
    ]
    large_batches = [
        {"batch_size": 256, "max_lr": max_lr, "weight_decay": weight_decay, "seed": seed}
        for seed in (0, 1)
        for max_lr in (0.6, 0.3, 1.0)
        for weight_decay in (3e-4, 1e-4, 6e-4)
    ]
    return [
        [START | changed for changed in stack]
        for stack in (one_by_one, sharpness_aware, large_batches)
    ]


def name_of(recipe):
    """Return in what a recipe differs from the one at the start."""
    changed = {key: recipe[key] for key in START if recipe[key] != START[key]}
    own = [f"{key}={value}" for key, value in changed.items() if key not in ("seed", "max_epochs")]
    return ", ".join(own) or "the start"


def standardized(images, mean, std):
    return ((F.pad(images.float(), (2, 2, 2, 2)) - mean) / std).contiguous()


def load(data_home, limit, device):
    """Return the images to train on with their labels, and those that are held out with theirs."""
    X, y = fetch_fashion_mnist(data_home=data_home, return_X_y=True)
    X = torch.from_numpy(X[:limit].reshape(-1, 28, 28).copy()).to(device)
    y = torch.from_numpy(y[:limit].astype(np.int64)).to(device)
    order = np.random.RandomState(12345).permutation(len(X))  # the same whatever the seeds
    held_out, kept = torch.from_numpy(order).to(device).tensor_split([len(X) // 6])
    mean, std = X[kept].float().mean().item(), X[kept].float().std(correction=0).item()
    return (
        standardized(X[kept], mean, std), y[kept],
        standardized(X[held_out], mean, std), y[held_out],
    )  # fmt: skip


def initial_weights(seeds):
    """Return a row a network: Glorot uniform, biases zero, the same for the same seed."""
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(1000 + seed)
        parts = []
        for name, size in SIZES.items():
            if name in FANS:
                bound = math.sqrt(6 / sum(FANS[name]))
                parts.append((torch.rand(size, generator=generator) * 2 - 1) * bound)
            else:
                parts.append(torch.zeros(size))
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def as_layers(rows):
    """Return views of rows of weights, by layer."""
    parts = rows.split(list(SIZES.values()), dim=1)
    return {
        name: part.unflatten(1, shape)
        for (name, shape), part in zip(SHAPES.items(), parts, strict=True)
    }


def logits_of(weights, images):
    """Return logits (networks, n, 10) for images (networks, n, 32, 32), other ones for each."""
    K, n = images.shape[:2]
    n_pieces = math.gcd(N_PIECES, n)
    m = n // n_pieces

    def for_pieces(weight):
        return weight[:, None].expand(K, n_pieces, *weight.shape[1:]).flatten(0, 1)

    def convolved(columns, i):
        sums = torch.bmm(for_pieces(weights[f"w{i}"]), columns)
        return sums.add_(for_pieces(weights[f"b{i}"]).unsqueeze(2)).tanh_()

    columns = images.reshape(K * n_pieces, m, 32, 32).unfold(2, 5, 1).unfold(3, 5, 1)
    columns = columns.permute(0, 4, 5, 1, 2, 3).reshape(K * n_pieces, 25, -1)
    hidden = F.avg_pool2d(convolved(columns, 1).view(K * n_pieces * 6, m, 28, 28), 2)
    columns = hidden.view(K * n_pieces, 6, m, 14, 14).unfold(3, 5, 1).unfold(4, 5, 1)
    columns = columns.permute(0, 1, 5, 6, 2, 3, 4).reshape(K * n_pieces, 150, -1)
    hidden = F.avg_pool2d(convolved(columns, 2).view(K * n_pieces * 16, m, 10, 10), 2)
    hidden = hidden.view(K * n_pieces, 16, m, 25).transpose(1, 2).reshape(K, n, 400)
    for i in (3, 4):
        hidden = linear(weights, hidden, i).tanh()
    return linear(weights, hidden, 5)


def linear(weights, hidden, i):
    return torch.baddbmm(weights[f"b{i}"].unsqueeze(1), hidden, weights[f"w{i}"].transpose(1, 2))


def losses_of(logits, y, smoothing):
    """Return the mean loss of each network, with label smoothing as in nn.CrossEntropyLoss."""
    logs = logits.log_softmax(2)
    own = -logs.gather(2, y.view(1, -1, 1).expand(len(logs), -1, 1)).squeeze(2)
    return ((1 - smoothing)[:, None] * own - smoothing[:, None] * logs.mean(2)).mean(1)


def augmented(images, shift, whole, flip, share):
    """Return images (n, 32, 32) as each network sees them, (networks, n, 32, 32).

    All else has a row a network: the longest shift, whether shifts are rounded to whole pixels, and
    the shares of images that are flipped and that are augmented at all.
    """
    K, n = len(shift), len(images)
    drawn = torch.rand(N_DRAWS, K, n, device=images.device)
    chosen = drawn[9] < share
    moved = (drawn[:2] * 2 - 1) * shift
    moved = torch.where(whole, moved.round(), moved) * chosen
    sign = 1 - 2 * ((drawn[2] < flip) & chosen).float()
    axis = torch.arange(32, device=images.device) - 15.5
    rows = (axis - moved[0, :, :, None]).view(K * n, 32, 1).expand(-1, 32, 32)
    columns = (axis - moved[1, :, :, None]).view(K * n, 1, 32).expand(-1, 32, 32)
    grid = torch.stack((columns * sign.view(-1, 1, 1), rows), 3) / 16
    many = images.expand(K, n, 32, 32).reshape(K * n, 1, 32, 32)
    return F.grid_sample(many, grid, "bilinear", "border", align_corners=False).view(K, n, 32, 32)


def rates_of(recipe, n_updates, n_warmup):
    """Return the learning rate of each update."""
    top = recipe["max_lr"]
    base = 1e-3 * min(1, top / 0.1)
    t = np.arange(n_updates, dtype=float)
    if recipe["schedule"] == "one_cycle":
        return schedules.one_cycle(
            t,
            max_lr=top,
            total_steps=n_updates,
            pct_start=recipe["pct_start"],
            div_factor=top / base,
        )
    share = np.clip((t - n_warmup) / max(n_updates - n_warmup, 1), 0, 1)
    afterwards = {
        "cosine": top / 2 * (1 + np.cos(np.pi * share)),
        "linear": top * (1 - share),
        "constant": np.full(n_updates, top),
    }[recipe["schedule"]]
    return np.where(t < n_warmup, base + (top - base) * t / max(n_warmup, 1), afterwards)


class Stack:
    """Networks that are trained at once, those with SGD before those with AdamW."""

    def __init__(self, recipes, X, y):
        def column(values):
            return torch.tensor(list(values), device=X.device)[:, None]

        def each(key):
            return column(float(recipe[key]) for recipe in recipes)

        self.X, self.y = X, y
        self.n_sgd = sum(recipe["optimizer"] == "SGD" for recipe in recipes)
        assert all(recipe["optimizer"] == "SGD" for recipe in recipes[: self.n_sgd])
        self.batch_size, self.n_epochs = recipes[0]["batch_size"], recipes[0]["max_epochs"]
        self.n_batches = len(X) // self.batch_size
        self.weight_decay, self.momentum = each("weight_decay"), each("momentum")
        self.nesterov = each("nesterov") > 0
        self.smoothing = each("label_smoothing")[:, 0]
        self.radius = each("sam") if any(recipe["sam"] for recipe in recipes) else None
        whole = column(recipe["interpolation"] == "nearest" for recipe in recipes)
        self.augmentation = each("shift"), whole, each("flip"), each("augmented")
        n_updates, n_warmup = self.n_epochs * self.n_batches, N_WARMUP_EPOCHS * self.n_batches
        rates = np.stack([rates_of(recipe, n_updates, n_warmup) for recipe in recipes])
        self.rates = torch.tensor(rates.T[:, :, None], dtype=torch.float32, device=X.device)

        self.first = initial_weights(recipe["seed"] for recipe in recipes).to(X.device)
        self.rows = self.first.clone()
        self.velocity = torch.zeros_like(self.rows)
        self.squares = torch.zeros_like(self.rows[self.n_sgd :])
        self.averages = {name: self.rows.clone() for name in AVERAGES}
        self.layers = {k: w.detach().requires_grad_() for k, w in as_layers(self.rows).items()}
        self.order = torch.zeros(len(X), dtype=torch.long, device=X.device)
        self.t = torch.zeros((), dtype=torch.long, device=X.device)
        self.loss_sum = torch.zeros(len(recipes), device=X.device)

    def reset(self):
        for rows in (self.rows, *self.averages.values()):
            rows.copy_(self.first)
        for state in (self.velocity, self.squares, self.t, self.loss_sum):
            state.zero_()
        self.shuffle()  # and again before the first epoch: the kept runs did so

    def shuffle(self):
        self.order.copy_(torch.randperm(len(self.X), device=self.X.device))

    def gradient(self, images, y):
        losses = losses_of(logits_of(self.layers, images), y, self.smoothing)
        gradients = torch.autograd.grad(losses.sum(), list(self.layers.values()))
        return losses.detach(), torch.cat([gradient.flatten(1) for gradient in gradients], 1)

    def step(self):
        """Update all networks by the next batch."""
        at = (self.t % self.n_batches) * self.batch_size
        chosen = self.order[at + torch.arange(self.batch_size, device=self.order.device)]
        images, y = augmented(self.X[chosen], *self.augmentation), self.y[chosen]
        losses, gradient = self.gradient(images, y)
        if self.radius is not None:
            uphill = gradient * (self.radius / (gradient.norm(dim=1, keepdim=True) + 1e-12))
            self.rows += uphill
            _, gradient = self.gradient(images, y)
            self.rows -= uphill
        lr = self.rates[self.t.clamp(max=len(self.rates) - 1).view(1)][0]
        self.descend_sgd(slice(None, self.n_sgd), gradient, lr)
        if self.n_sgd < len(self.rows):
            self.descend_adamw(slice(self.n_sgd, None), gradient, lr)
        for name, average in self.averages.items():  # at first the mean of all there are
            share = 1 / max(AVERAGES[name] * self.n_batches, 1)
            average.lerp_(self.rows, (1 / (self.t + 1.0)).clamp(min=share))
        self.loss_sum += losses
        self.t += 1

    def descend_sgd(self, own, gradient, lr):
        """As torch.optim.SGD."""
        rows, velocity, momentum = self.rows[own], self.velocity[own], self.momentum[own]
        gradient = torch.addcmul(gradient[own], rows, self.weight_decay[own])
        velocity.mul_(momentum).add_(gradient)
        ahead = gradient + momentum * velocity
        rows.sub_(torch.where(self.nesterov[own], ahead, velocity) * lr[own])

    def descend_adamw(self, own, gradient, lr):
        """As torch.optim.AdamW, with betas of `momentum` and 0.999."""
        rows, velocity, momentum = self.rows[own], self.velocity[own], self.momentum[own]
        gradient, lr, t = gradient[own], lr[own], self.t + 1.0
        velocity.mul_(momentum).addcmul_(gradient, 1 - momentum)
        self.squares.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        scale = (self.squares / (1 - 0.999**t)).sqrt() + 1e-8
        rows.mul_(1 - lr * self.weight_decay[own])
        rows.sub_(velocity / (1 - momentum**t) / scale * lr)

    def recorded(self):
        """Return a function that makes an update: the replay of a recorded one on a GPU."""
        if self.X.device.type != "cuda":
            return self.step
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(aside)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay

    def train(self, seed):
        """Train all networks; return their mean losses in the last epoch."""
        update = self.recorded()
        torch.manual_seed(seed)
        self.reset()
        for _ in range(self.n_epochs):
            self.shuffle()
            self.loss_sum.zero_()
            for _ in range(self.n_batches):
                update()
        return (self.loss_sum / self.n_batches).tolist()

    @torch.no_grad()
    def accuracies(self, rows, X, y):
        """Return the accuracy of each network with the given weights."""
        layers, right = as_layers(rows), torch.zeros(len(rows), device=X.device)
        at_once = max(1, min(500, int(25_000 / len(rows))))  # columns are large
        for images, labels in zip(X.split(at_once), y.split(at_once), strict=True):
            found = logits_of(layers, images.expand(len(rows), *images.shape)).argmax(2)
            right += (found == labels).sum(1)
        return (right / len(X)).tolist()


def train(stacks, data_home=None, limit=None, device="cpu"):
    """Train all stacks; return a table of a row a network."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    X, y, X_held_out, y_held_out = load(data_home, limit, torch.device(device))
    tables = []
    for number, stack in enumerate(stacks):
        began = time.perf_counter()
        networks = Stack(stack, X, y)
        measured = {"train_loss": networks.train(777 + number)}
        measured["train_accuracy"] = networks.accuracies(networks.rows, X[:10_000], y[:10_000])
        judged = {"held_out_accuracy": networks.rows} | networks.averages
        for key, rows in judged.items():
            measured[key] = networks.accuracies(rows, X_held_out, y_held_out)
        table = pd.DataFrame(stack).assign(**measured).round(5)
        table.insert(0, "name", [name_of(recipe) for recipe in stack])
        tables.append(table)
        seconds = time.perf_counter() - began
        print(f"{len(stack)} networks: {seconds:.0f} seconds", file=sys.stderr, flush=True)
    return pd.concat(tables, ignore_index=True)


def report(runs):
    """Print the means over seeds, the best first, and how far seeds and averages go."""
    accuracies = ["held_out_accuracy", *AVERAGES, "train_accuracy"]
    groups = runs.groupby("name", sort=False)
    means = groups[[*accuracies, "train_loss"]].mean()
    means.insert(0, "n", groups.size())
    means = means.sort_values("held_out_accuracy", ascending=False, kind="stable")
    print(means.round(4).to_string())
    spread = groups["held_out_accuracy"].agg(["size", "var"])
    spread = spread[spread["size"] > 1]
    if len(spread):
        squares = spread["var"] * (spread["size"] - 1)
        pooled = math.sqrt(squares.sum() / (spread["size"] - 1).sum())
        print(f"standard deviation between seeds, {len(spread)} recipes: {pooled:.4f}")
    falling = runs[runs["schedule"] != "constant"]
    for name, reach in AVERAGES.items():
        gain = falling[name] - falling["held_out_accuracy"]
        print(
            f"average of {reach:g} epochs less last weights, constant rate left out: "
            f"mean {gain.mean():+.4f}, from {gain.min():+.4f} to {gain.max():+.4f}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, metavar="FILE", help="where the runs are kept")
    parser.add_argument("--report", metavar="FILE", help="print the table of such a file")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--data-home", help="the folder of scikit-learn's datasets")
    parser.add_argument("--epochs", type=int, help="of each training, to try it out")
    parser.add_argument("--limit", type=int, help="so many images, to try it out")
    arguments = parser.parse_args()
    if arguments.report:
        report(pd.read_csv(arguments.report))
        return
    stacks = recipes()
    if arguments.epochs:
        stacks = [[own | {"max_epochs": arguments.epochs} for own in stack] for stack in stacks]
    runs = train(stacks, arguments.data_home, arguments.limit, arguments.device)
    if arguments.csv:
        runs.to_csv(arguments.csv, index=False)
    report(runs)


if __name__ == "__main__":
    main()
