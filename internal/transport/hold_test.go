package transport

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
)

func TestHold_SilentConnectionsLiveAsLongAsWanted(t *testing.T) {
	const idle = 10 * time.Minute
	for _, tc := range []struct {
		name string
		// act runs when the connection has sent its only message.
		act  func(b *bench, f flow.Flow, start time.Time)
		want time.Duration // how long after that the connection ends
	}{
		{name: "not held", act: func(*bench, flow.Flow, time.Time) {}, want: idle},
		{name: "held", act: func(b *bench, f flow.Flow, start time.Time) { b.Hold(f, Holder{1}, start.Add(time.Hour)) }, want: time.Hour},
		{name: "held for less than it may be idle", act: func(b *bench, f flow.Flow, start time.Time) { b.Hold(f, Holder{1}, start.Add(time.Minute)) }, want: idle},
		{name: "the longest time counts", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			b.Hold(f, Holder{2}, start.Add(30*time.Minute))
		}, want: time.Hour},
		{name: "the last word counts", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			b.Hold(f, Holder{1}, start.Add(30*time.Minute))
		}, want: 30 * time.Minute},
		{name: "held no more", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			synctest.Wait()
			time.Sleep(time.Minute)
			b.Hold(f, Holder{1}, time.Time{})
		}, want: idle},
		{name: "another still holds it", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			b.Hold(f, Holder{2}, start.Add(20*time.Minute))
			b.Hold(f, Holder{1}, time.Time{})
		}, want: 20 * time.Minute},
		{name: "never held, and no more", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			b.Hold(f, Holder{2}, time.Time{})
		}, want: time.Hour},
		{name: "too many to be kept apart", act: func(b *bench, f flow.Flow, start time.Time) {
			for i := range byte(2 * maxHolders) {
				b.Hold(f, Holder{i}, start.Add(time.Hour+time.Duration(i)*time.Second))
			}
			for i := range byte(2 * maxHolders) {
				b.Hold(f, Holder{i}, time.Time{})
			}
		}, want: time.Hour + (2*maxHolders-1)*time.Second},
		{name: "held again before the end", act: func(b *bench, f flow.Flow, start time.Time) {
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			time.Sleep(50 * time.Minute)
			b.Hold(f, Holder{1}, start.Add(2*time.Hour))
		}, want: 2 * time.Hour},
		{name: "held just before it would have been idle", act: func(b *bench, f flow.Flow, start time.Time) {
			time.Sleep(idle - time.Second)
			b.Hold(f, Holder{1}, start.Add(time.Hour))
		}, want: time.Hour},
		{name: "another flow", act: func(b *bench, f flow.Flow, start time.Time) {
			f.Incarnation++
			b.Hold(f, Holder{1}, start.Add(time.Hour))
			b.Hold(flow.Flow{}, Holder{1}, start.Add(time.Hour))
			b.Hold(flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: f.Remote}, Holder{1}, start.Add(time.Hour))
		}, want: idle},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, Options{IdleTimeout: idle}, func(t *testing.T, b *bench) {
				c := b.dial(b.net.Host("192.0.2.50"))
				mustWrite(t, c, message(1, ""))
				synctest.Wait()
				f, start := b.last(), time.Now()
				tc.act(b, f, start)
				time.Sleep(time.Until(start.Add(tc.want - time.Second)))
				synctest.Wait()
				if !b.Open(f) {
					t.Fatalf("closed before %v with %v", tc.want, b.cause(f))
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if err := b.cause(f); !errors.Is(err, ErrIdle) {
					t.Errorf("after %v closed with %v", tc.want, err)
				}
			})
		})
	}
}

// A connection that nobody wants any more ends at once if it has been idle for
// long enough.
func TestHold_EndOfAnIdleConnection(t *testing.T) {
	inBubble(t, Options{IdleTimeout: 10 * time.Minute}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		b.Hold(f, Holder{1}, time.Now().Add(time.Hour))
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if !b.Open(f) {
			t.Fatalf("closed with %v while it was held", b.cause(f))
		}
		b.Hold(f, Holder{1}, time.Time{})
		synctest.Wait()
		if err := b.cause(f); !errors.Is(err, ErrIdle) {
			t.Errorf("closed with %v, want %v", err, ErrIdle)
		}
	})
}

// A hold that ends moves no other deadline.
func TestHold_EndInTheMiddleOfAMessage(t *testing.T) {
	inBubble(t, Options{IdleTimeout: 10 * time.Minute, MessageTimeout: 30 * time.Second}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		b.Hold(f, Holder{1}, time.Now().Add(time.Hour))
		time.Sleep(20 * time.Minute)
		mustWrite(t, c, message(2, "")[:100])
		synctest.Wait()
		b.Hold(f, Holder{1}, time.Time{})
		time.Sleep(29 * time.Second)
		mustWrite(t, c, message(2, "")[100:])
		synctest.Wait()
		if !b.Open(f) {
			t.Errorf("closed with %v", b.cause(f))
		}
	})
}

// A held connection still has to finish a message in time.
func TestHold_DoesNotExcuseHalfAMessage(t *testing.T) {
	inBubble(t, Options{IdleTimeout: 10 * time.Minute, MessageTimeout: 30 * time.Second}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		b.Hold(f, Holder{1}, time.Now().Add(time.Hour))
		mustWrite(t, c, message(2, "")[:100])
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if err := b.cause(f); !errors.Is(err, ErrSlow) {
			t.Errorf("closed with %v", err)
		}
	})
}

// What comes on a held connection counts from when it came.
func TestHold_KeepAlivesStillCount(t *testing.T) {
	inBubble(t, Options{IdleTimeout: 10 * time.Minute}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		b.Hold(f, Holder{1}, time.Now().Add(15*time.Minute))
		time.Sleep(14 * time.Minute)
		mustWrite(t, c, "\r\n\r\n")
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if !b.Open(f) {
			t.Errorf("closed with %v, 9 min after a keep-alive", b.cause(f))
		}
	})
}
