"""Small models of every family with random weights, from the configuration classes of diffusers and transformers: real text encoders, autoencoders, denoisers,
a few thousand numbers each, saved as ordinary model directories and loaded as an operator's would be.

`words` makes tokenizers, `parts` encoders, `networks` and `others` the pipelines, `shelves` the directories, `single` files; `company` runs requests at a hub
and by the stock pipeline.
"""
