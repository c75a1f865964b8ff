package exchange_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/memnet"
	"reveille/push/internal/exchange"
	"reveille/push/pushsim"
)

// newRedialer returns one whose host is frames over a network in memory.
func newRedialer(t *testing.T, o pushsim.FrameOptions) (*pushsim.Frames, *exchange.Redialer) {
	t.Helper()
	frames, err := pushsim.NewFrames(o)
	if err != nil {
		t.Fatal(err)
	}
	network := memnet.New(1)
	ln, err := network.Host("127.0.0.1").Listen(t.Context(), "tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	us := network.Host("192.0.2.1")
	frames.Serve(ln)
	r := &exchange.Redialer{New: func() *http.Transport {
		return &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return us.DialContext(ctx, "tcp", "", addr)
			},
			TLSClientConfig: &tls.Config{RootCAs: frames.Credentials().RootCAs()}, ForceAttemptHTTP2: true,
			IdleConnTimeout: 5 * time.Minute,
			HTTP2:           &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second},
		}
	}}
	t.Cleanup(func() {
		r.CloseIdleConnections()
		frames.Close()
	})
	return frames, r
}

// post makes one request of at most 3 s.
func post(t *testing.T, r *exchange.Redialer) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1/x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.RoundTrip(req)
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestRedialer_LeavesWhatAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames, r := newRedialer(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.Conn == 1 && r.N > 1 {
				return pushsim.FrameAnswer{Act: pushsim.Mute}
			}
			return pushsim.FrameAnswer{}
		}})
		if err := post(t, r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Second) // not when a PING is due
		if err := post(t, r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("mute: err = %v, want deadline exceeded", err)
		}
		began := time.Now()
		if err := post(t, r); err != nil || time.Since(began) != 0 || frames.Conns() != 2 {
			t.Errorf("next: err = %v after %v, %d connections; want none at once on the second", err, time.Since(began), frames.Conns())
		}
	})
}

// One request that is not answered among others that are says nothing of the
// connection.
func TestRedialer_KeepsWhatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames, r := newRedialer(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.N == 2 {
				return pushsim.FrameAnswer{Act: pushsim.Silence}
			}
			return pushsim.FrameAnswer{}
		}})
		if err := post(t, r); err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() { failed <- post(t, r) }()
		time.Sleep(time.Second)
		if err := post(t, r); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want deadline exceeded", err)
		}
		if err := post(t, r); err != nil || frames.Conns() != 1 {
			t.Errorf("err = %v, %d connections; want none, 1", err, frames.Conns())
		}
	})
}

func TestRedialer_DialsAgainAfterGoAway_RFC9113_6_8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames, r := newRedialer(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.Conn == 1 && r.N == 2 {
				return pushsim.FrameAnswer{Act: pushsim.LeaveAfter}
			}
			return pushsim.FrameAnswer{}
		}})
		for i := range 5 {
			if err := post(t, r); err != nil {
				t.Fatalf("request %d: %v", i+1, err)
			}
		}
		if frames.Conns() != 2 {
			t.Errorf("%d connections, want 2", frames.Conns())
		}
	})
}
