package disk

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"reveille/usrloc"
)

// A space watches how much room the file system has, and refuses changes below
// the mark: a write-ahead log that cannot be written ends the process, and with
// it all calls, so REGISTERs end before that.
type space struct {
	fs      vfs.FS
	dir     string
	mark    uint64 // in bytes; 0 for none
	every   time.Duration
	logger  *slog.Logger
	metrics *metrics

	low  atomic.Bool
	quit chan struct{}
	wg   sync.WaitGroup
}

func newSpace(o Options, m *metrics) *space {
	return &space{
		fs: o.FS, dir: o.Dir, mark: uint64(max(0, o.MinFree)), every: o.pace.spaceEvery,
		logger: o.Logger, metrics: m, quit: make(chan struct{}),
	}
}

// start looks once, and then again and again until stop.
func (s *space) start() {
	if s.mark == 0 {
		return
	}
	s.look()
	s.wg.Go(func() {
		tick := time.NewTicker(s.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				s.look()
			case <-s.quit:
				return
			}
		}
	})
}

func (s *space) stop() {
	close(s.quit)
	s.wg.Wait()
}

// look compares the free space with the mark. A file system that cannot say is
// taken to have room.
func (s *space) look() {
	usage, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return
	}
	s.metrics.freeBytes.Set(float64(usage.AvailBytes))
	low := usage.AvailBytes < s.mark
	if s.low.Swap(low) == low {
		return
	}
	if low {
		s.logger.Error("too little free space: registrations are refused", "dir", s.dir, "free_bytes", usage.AvailBytes, "min_free_bytes", s.mark)
	} else {
		s.logger.Info("enough free space: registrations are accepted again", "dir", s.dir, "free_bytes", usage.AvailBytes)
	}
}

// admit refuses changes that add or rewrite something while there is no room.
// Removals pass: they are small, and make room.
func (s *space) admit(changes []usrloc.Change) error {
	if !s.low.Load() {
		return nil
	}
	for i := range changes {
		if changes[i].New != nil {
			s.metrics.refused.Inc()
			return fmt.Errorf("%w: %w in %s", usrloc.ErrUnavailable, ErrNoSpace, s.dir)
		}
	}
	return nil
}
