"""The checkpoint of `checkpoint.rs` by PyTorch: `peer.py FILE [SECONDS]`. A `.pth` FILE that is not there is made of the
`.safetensors` beside it.

pip install torch==2.15.0 (and, for a .safetensors FILE, safetensors==0.8.0). Prints a line of JSON: median, least, count, peak of
resident memory.
"""

import json
import struct
import sys
import time
from pathlib import Path

import torch

torch.set_num_threads(2)
path = Path(sys.argv[1])
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
if not path.exists():
    raw = path.with_suffix(".safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    state = {}
    for name, info in header.items():
        begin, end = (8 + length + offset for offset in info["data_offsets"])
        state[name] = torch.frombuffer(bytearray(raw[begin:end]), dtype=torch.float32).reshape(info["shape"])
    torch.save(state, path)
    sys.exit()


def read():
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        # Mapped, and so copied, as the numbers are to be in memory.
        return {name: t.clone() for name, t in load_file(path).items()}
    return torch.load(path, weights_only=True)


times, begin = [], time.perf_counter()
read()
while len(times) < 3 or time.perf_counter() - begin < seconds:
    start = time.perf_counter()
    state = read()
    times.append((time.perf_counter() - start) * 1e3)
    del state
times.sort()
peak = next(float(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
told = dict(wl=path.suffix[1:], ms=round(times[len(times) // 2], 2), min=round(times[0], 2), n=len(times), rss=round(peak))
print(json.dumps(told))
