package webapi

import (
	"container/list"
	"sync"

	"cebridge/schema"
)

// maxOwners bounds the keys whose record is remembered.
const maxOwners = 4096

// owners remembers which record a key meant when it was last written. It lives as long
// as the client does, and holds the keys used last.
type owners struct {
	mu    sync.Mutex
	known map[string]*list.Element // by schema.Write.Identity
	order *list.List               // of *owner, the latest used first
}

type owner struct{ key, id, table string }

func newOwners() *owners { return &owners{known: map[string]*list.Element{}, order: list.New()} }

// of is the record that the write's key meant before; "" when that is not known.
func (o *owners) of(w *schema.Write) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.known[w.Identity()]
	if e == nil {
		return ""
	}
	o.order.MoveToFront(e)
	return e.Value.(*owner).id
}

// replace remembers the record that the write's key means. One that is not known is
// forgotten, since what was remembered is wrong then.
func (o *owners) replace(w *schema.Write, id string) {
	if w.ID != "" {
		return // a GUID is no key
	}
	if id == "" {
		o.forget(w)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := w.Identity()
	if e := o.known[key]; e != nil {
		e.Value.(*owner).id = id
		o.order.MoveToFront(e)
		return
	}
	o.known[key] = o.order.PushFront(&owner{key, id, w.Table})
	if o.order.Len() > maxOwners {
		oldest := o.order.Back()
		delete(o.known, oldest.Value.(*owner).key)
		o.order.Remove(oldest)
	}
}

func (o *owners) forget(w *schema.Write) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.known[w.Identity()]; e != nil {
		delete(o.known, w.Identity())
		o.order.Remove(e)
	}
}

// forgetOf forgets the keys of some tables.
func (o *owners) forgetOf(tables func(string) bool) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, e := range o.known {
		if tables(e.Value.(*owner).table) {
			delete(o.known, key)
			o.order.Remove(e)
			n++
		}
	}
	return n
}

// ForgetKeys makes the client forget which records the keys of some tables meant, so
// that those they mean now are accepted. It returns how many it forgot.
func (c *Client) ForgetKeys(tables func(string) bool) int { return c.owners.forgetOf(tables) }
