package outbound

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// askers is how many records are looked up at the same time.
const askers = 8

// ask looks up the records whose delete is doubtful.
func (w *Worker) ask(ctx context.Context, entries []entry, verdicts []verdict, asks []int) error {
	ids := make([]string, len(asks))
	for n, i := range asks {
		ids[n] = entries[i].id
	}
	live, err := w.live(ctx, ids)
	if err != nil {
		return err
	}
	for n, i := range asks {
		verdicts[i].gone = !live[n]
	}
	return nil
}

// live tells which records are live now: in one request where the source can.
func (w *Worker) live(ctx context.Context, ids []string) ([]bool, error) {
	live := make([]bool, len(ids))
	if c, ok := w.source.(Confirmer); ok && len(ids) > 1 {
		for from := 0; from < len(ids); from += confirmChunk {
			chunk := ids[from:min(from+confirmChunk, len(ids))]
			missing, err := c.Missing(ctx, w.cfg.Query, chunk)
			if err != nil {
				return nil, fmt.Errorf("look up %d records of table %s: %w", len(chunk), w.table, err)
			}
			for i, id := range chunk {
				live[from+i] = !slices.Contains(missing, id)
			}
		}
		return live, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var wg sync.WaitGroup
	for range min(askers, len(ids)) {
		wg.Go(func() {
			for i := range work {
				var err error
				if live[i], err = w.source.Exists(ctx, w.cfg.Query, ids[i]); err != nil {
					cancel(fmt.Errorf("look up record %s of table %s: %w", ids[i], w.table, err))
				}
			}
		})
	}
	for i := range ids {
		select {
		case work <- i:
		case <-ctx.Done():
		}
	}
	close(work)
	wg.Wait()
	return live, context.Cause(ctx)
}
