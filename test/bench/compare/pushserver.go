package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"

	"reveille/push/pushsim"
)

// pushServer is the command that a measurement of pushes starts of this program:
// its push services have a process and a core of their own.
const pushServer = "push-server"

// services is where the push services of another process are.
type services struct {
	// URL takes every push at once, except those of a path with stuck in it,
	// which it never answers. CA signs it.
	URL, CA string
	// Frames is an APNs that allows one stream until the first success.
	Frames, FramesCA string
	cmd              *exec.Cmd
	end              io.Closer
}

// stuck is what makes a push one that is not answered.
const stuck = "stuck"

// servePushes is that command. It says on standard output where it is, and ends
// with standard input.
func servePushes(stdin io.Reader, stdout io.Writer) error {
	frames, err := pushsim.NewFrames(pushsim.FrameOptions{})
	if err != nil {
		return err
	}
	if err := frames.Listen(); err != nil {
		return err
	}
	defer frames.Close()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(answerPush))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	at := services{
		URL: srv.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
		Frames: frames.URL(), FramesCA: string(frames.Credentials().CAPEM()),
	}
	if err := json.NewEncoder(stdout).Encode(at); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stdin)
	srv.CloseClientConnections() // what is stuck does not end by itself
	return err
}

// answerPush takes a push in the words of its service.
func answerPush(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return
	}
	if strings.Contains(r.URL.Path, stuck) || strings.Contains(string(body), stuck) {
		<-r.Context().Done()
		return
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/3/device/"):
		w.Header().Set("apns-id", "8A5E2F0C-9F5C-4F5B-9B57-5B7F1E2F9A11")
	case r.URL.Path == "/token":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"ya29.`+strings.Repeat("a", 160)+`","token_type":"Bearer","expires_in":3600}`)
	case strings.HasPrefix(r.URL.Path, "/wp/"):
		w.WriteHeader(http.StatusCreated)
	default:
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = io.WriteString(w, `{"name":"projects/demo-project/messages/0:1700000000000000%31bd1c9631bd1c96"}`)
	}
}

// startServices starts the push services on some cores; stop ends them.
func startServices(cores ...int) (*services, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &services{cmd: exec.CommandContext(context.Background(), exe, pushServer)}
	s.cmd.Stderr = os.Stderr
	if s.end, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(cores, s.cmd); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start push services: %w", err), s.stop())
	}
	return s, nil
}

func (s *services) stop() error { return errors.Join(s.end.Close(), s.cmd.Wait()) }

// roots believes the services.
func roots(ca string) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca))
	return pool
}
