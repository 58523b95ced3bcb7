"""Attention, masks and caches in the place of those of transformers that decide by the sizes they see: one program
must serve every batch, length and past."""

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import repeat_kv


def patch_attention():
    """Registers them with transformers, for all models loaded from then on."""

    def mask(batch_size, cache_position, kv_length, kv_offset=0, mask_function=None, attention_mask=None,
             dtype=torch.float32, **_):
        device = cache_position.device
        batch = torch.arange(batch_size, device=device)[:, None, None, None]
        head = torch.zeros(1, 1, 1, 1, dtype=torch.int64, device=device)
        keys = torch.arange(kv_length, device=device)[None, None, None, :] + kv_offset
        seen = mask_function(batch, head, cache_position[None, None, :, None], keys)
        if attention_mask is not None:
            seen = seen & attention_mask[:, None, None, :].bool()
        return added(seen, dtype)

    def attention(module, query, key, value, attention_mask, dropout=0.0, scaling=None, softcap=None, **_):
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        if not getattr(module, "scale_attn_weights", True):  # GPT-2, whose own code heeds these two and sdpa does not
            scaling = 1.0
        if getattr(module, "scale_attn_by_inverse_layer_idx", False):
            scaling /= module.layer_idx + 1
        groups = getattr(module, "num_key_value_groups", 1)
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
        if attention_mask is None:  # what older models say for a causal mask and nothing else
            ends = torch.arange(query.shape[2], device=query.device)[:, None] + key.shape[2] - query.shape[2]
            attention_mask = added(torch.arange(key.shape[2], device=query.device)[None, :] <= ends, query.dtype)
        if softcap is None:
            out = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        else:
            scores = torch.tanh(query @ key.transpose(2, 3) * scaling / softcap) * softcap
            out = torch.softmax(scores + attention_mask, -1, dtype=torch.float32).to(query.dtype) @ value
        return out.transpose(1, 2).contiguous(), None

    AttentionMaskInterface.register("sdpa", mask)
    AttentionMaskInterface.register("eager", mask)
    AttentionInterface.register("sdpa", attention)


def added(seen, dtype):
    """The mask as what is added to scores. A finite minimum: rows that see nothing, those of padding, must not become
    NaN."""
    hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=seen.device)
    return torch.where(seen, torch.zeros((), dtype=dtype, device=seen.device), hidden)


def growing_cache(layers):
    """A cache of transformers that begins with `layers` and asks nothing about their sizes. Windows are left to the
    mask, so that every layer grows alike."""

    class Layer(CacheLayerMixin):
        is_sliding = False
        is_compileable = False

        def __init__(self, key, value):
            self.keys, self.values, self.is_initialized = key, value, True

        def lazy_initialization(self, key_states):
            pass

        def update(self, key_states, value_states, cache_kwargs=None):
            self.keys = torch.cat([self.keys, key_states], -2)
            self.values = torch.cat([self.values, value_states], -2)
            return self.keys, self.values

        def get_seq_length(self, *_):
            return self.keys.shape[-2]

        def get_mask_sizes(self, cache_position):
            return self.keys.shape[-2] + cache_position.shape[0], 0

        def get_max_cache_shape(self):
            return -1

    return Cache(layers=[Layer(key, value) for key, value in layers])
