package loader

import (
	"sync"

	"tempera/datagen/picture"
)

// entry is a sample ready for augmentation. It is shared: nobody writes to it.
type entry struct {
	key, caption string
	image        *picture.RGB
}

// cache keeps the first entries that fit. Training visits every sample once an
// epoch in a new order, so that throwing out the oldest would throw out what is
// needed next.
type cache struct {
	mu      sync.RWMutex
	entries map[[2]int]*entry
	room    int64 // bytes left
}

func newCache(bytes int64) *cache { return &cache{entries: map[[2]int]*entry{}, room: bytes} }

func (c *cache) get(part, index int) *entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[[2]int{part, index}]
}

const entryOverhead = 160 // bytes of structs and map cells, roughly

func (c *cache) put(part, index int, e *entry) {
	size := int64(len(e.image.Pix) + len(e.caption) + len(e.key) + entryOverhead)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.entries[[2]int{part, index}]; there || size > c.room {
		return
	}
	c.room -= size
	c.entries[[2]int{part, index}] = e
}
