package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cebridge/bridge/internal/jet"
	"cebridge/bridge/sim"
	"cebridge/schema"
)

const (
	benchOrg = "bench"
	pageSize = 5000
	// lazySync is the server's own default: messages are written through to the disk
	// every two minutes.
	lazySync = 2 * time.Minute
	maxStore = 1 << 40
)

var (
	// names are those of the bridge, rawNames those of the raw loop.
	names    = schema.Names{Prefix: "crm", Org: benchOrg}
	rawNames = schema.Names{Prefix: "raw", Org: benchOrg}
)

// stage is a simulator and a JetStream server.
type stage struct {
	sim  *sim.Server
	url  string
	nats *jet.Embedded
	conn *jet.Conn
	js   jetstream.JetStream
	o    Options
}

func newStage(ctx context.Context, o Options, sync time.Duration, options sim.Options) (s *stage, err error) {
	s = &stage{o: o}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.sim, err = sim.New(options); err != nil {
		return s, err
	}
	if s.url, err = s.sim.Start("127.0.0.1:0"); err != nil {
		return s, err
	}
	if s.nats, err = jet.StartEmbedded(jet.EmbeddedOptions{
		StoreDir: filepath.Join(o.Dir, "nats"), Port: -1, SyncInterval: sync, MaxStore: maxStore,
	}); err != nil {
		return s, err
	}
	if s.conn, err = jet.Connect(ctx, jet.Config{URLs: []string{s.nats.URL()}, Name: "bench"}); err != nil {
		return s, err
	}
	s.js, err = jetstream.New(s.conn.NATS())
	return s, err
}

func (s *stage) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.nats != nil {
		s.nats.Stop()
	}
	if s.sim != nil {
		s.sim.Close()
	}
}

// bridge starts a bridge with a configuration. With name a profile of it is kept when
// the options ask for profiles.
func (s *stage) bridge(name, config string) (*process, error) {
	file := filepath.Join(s.o.Dir, "bridge.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	args := []string{"bridge", file}
	if s.o.Profile != "" && name != "" {
		args = append(args, filepath.Join(s.o.Profile, name+".pprof"))
	}
	return startProcess(s.o.Child(args...))
}

// raw starts a raw loop.
func (s *stage) raw(j job) (*process, error) {
	j.NATS = s.nats.URL()
	file := filepath.Join(s.o.Dir, "raw.json")
	if err := j.write(file); err != nil {
		return nil, err
	}
	return startProcess(s.o.Child("raw", file))
}

// messages is the number of messages on a stream, 0 while it is not there.
func (s *stage) messages(ctx context.Context, name string) (int, error) {
	stream, err := s.js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("look at stream %s: %w", name, err)
	}
	return int(stream.CachedInfo().State.Msgs), nil
}

// stored counts the messages of a stream beyond those that were there.
func (s *stage) stored(name string, before int) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		n, err := s.messages(ctx, name)
		return max(n-before, 0), err
	}
}

// rawStream makes the stream that the raw loop commits to, as the bridge makes its own.
func (s *stage) rawStream(ctx context.Context) error {
	_, err := s.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: rawNames.EventStream(), Subjects: rawNames.EventSubjects(), Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: 8, AllowAtomicPublish: true, AllowMsgTTL: true, AllowRollup: true, AllowDirect: true,
	})
	return err
}
