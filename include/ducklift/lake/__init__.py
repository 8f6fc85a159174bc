"""The bucket: filesystem, layout, load packages, commit records. The raw files here are the truth; a warehouse can be rebuilt from them."""
