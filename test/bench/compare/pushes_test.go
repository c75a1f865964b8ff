package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reveille/push/pushsim"
)

// Every contender's pushes are taken by the pretend services, in this process.
func TestPushes_AllAreTaken(t *testing.T) {
	frames, err := pushsim.NewFrames(pushsim.FrameOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := frames.Listen(); err != nil {
		t.Fatal(err)
	}
	defer frames.Close()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(answerPush))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	defer srv.CloseClientConnections()
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	w, err := newPushWorld(&services{
		URL: srv.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		Frames: frames.URL(), FramesCA: string(frames.Credentials().CAPEM()),
	}, sim)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	contenders, err := w.contenders()
	if err != nil {
		t.Fatal(err)
	}
	if len(contenders) != 9 {
		t.Errorf("%d contenders, want 9", len(contenders))
	}
	for _, c := range contenders {
		if err := spread(c, 2*pushWorkers); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := w.burst(50); err != nil {
		t.Error(err)
	}
	if frames.Refused() != 0 || frames.Requests() != 50 {
		t.Errorf("%d streams refused, %d requests; want none, 50", frames.Refused(), frames.Requests())
	}
	if _, err := w.besideStuck(time.Nanosecond + pairedWindow); err != nil {
		t.Error(err)
	}
}

func TestPushTable(t *testing.T) {
	got := pushTable([]pushResult{
		{name: "plain", raw: true, cpu: []float64{20, 22, 18}, allocs: []float64{50}, size: []float64{4000}},
		{name: "ours", cpu: []float64{30, 28, 29}, ratio: []float64{1.5, 1.3, 1.6}, allocs: []float64{80}, size: []float64{7100}},
	}, pushOptions{cold: 200}, []float64{31, 25, 44}, []float64{900, 1000}, []float64{990, 900})
	for _, want := range []string{
		"| plain | 20.0 µs |  | 50 | 4,000 |", "| ours | 29.0 µs | **1.50** (1.30 to 1.60) | 80 | 7,100 |",
		"| 31 ms | 25 to 44 ms |", "answers none of 2,000 | 945 µs | **1.00** (0.90 to 1.10) |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("table lacks %q:\n%s", want, got)
		}
	}
}
