package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// secureWindow is how many handshakes or REGISTERs are under way at once.
const secureWindow = 32

// secureTime bounds one of them.
const secureTime = 10 * time.Second

// securePhones are the phones of one server, each with a TLS connection.
type securePhones struct {
	server *server
	config *tls.Config
	web    bool // by WebSocket over TLS
	phones []*securePhone
}

// A securePhone is a phone with a connection of its own.
type securePhone struct {
	conn net.Conn
	in   *bufio.Reader
	via  string // the transport's name in a Via
	user int
	cseq int
	text []byte
}

// dial connects.
func (p *securePhones) dial() (net.Conn, error) {
	if p.web {
		return p.dialWeb()
	}
	d := net.Dialer{Timeout: secureTime}
	nc, err := d.Dial("tcp", p.server.target.String())
	if err != nil {
		return nil, err
	}
	c := tls.Client(nc, p.config)
	if err := errors.Join(c.SetDeadline(time.Now().Add(secureTime)), c.Handshake()); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// dialWeb connects by WebSocket. Each Write is a message.
func (p *securePhones) dialWeb() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), secureTime)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.config}}
	c, resp, err := websocket.Dial(ctx, "wss://"+p.server.target.String(), &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"sip"}})
	if err != nil {
		return nil, err
	}
	// The body of a handshake that succeeded is nothing to be closed.
	_ = resp
	return websocket.NetConn(context.Background(), c, websocket.MessageText), nil
}

// handshakes connects and disconnects for a while, and returns the server's CPU
// time for each time in microseconds. No session is resumed.
func (p *securePhones) handshakes(lasts time.Duration) (float64, error) {
	end := time.Now().Add(lasts)
	return p.measure(func(int) (n int, err error) {
		for time.Now().Before(end) {
			c, err := p.dial()
			if err != nil {
				return n, err
			}
			if err := c.Close(); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
}

// connect gives n phones a connection and registers them.
func (p *securePhones) connect(n int) error {
	p.phones = make([]*securePhone, n)
	_, err := p.measure(func(worker int) (done int, err error) {
		for i := worker; i < n; i += secureWindow {
			c, err := p.dial()
			if err != nil {
				return done, err
			}
			p.phones[i] = &securePhone{conn: c, in: bufio.NewReader(c), via: "TLS", user: i}
			if p.web {
				p.phones[i].via = "WSS"
			}
			if err := p.phones[i].register(); err != nil {
				return done, err
			}
			done++
		}
		return done, nil
	})
	return err
}

// refresh has all phones register again in turn for a while, and returns the
// server's CPU time for each time in microseconds.
func (p *securePhones) refresh(lasts time.Duration) (float64, error) {
	end := time.Now().Add(lasts)
	return p.measure(func(worker int) (n int, err error) {
		for i := worker; time.Now().Before(end); i += secureWindow {
			if i >= len(p.phones) {
				i = worker
			}
			if err := p.phones[i].register(); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	})
}

// measure has all workers do something and returns the server's CPU time, in
// microseconds, for each time that it was done.
func (p *securePhones) measure(do func(worker int) (n int, err error)) (float64, error) {
	before, err := p.server.family.cpu()
	if err != nil {
		return 0, err
	}
	var mu sync.Mutex // guards the results
	total, errs := 0, []error(nil)
	var workers sync.WaitGroup
	for worker := range secureWindow {
		workers.Go(func() {
			n, err := do(worker)
			mu.Lock()
			defer mu.Unlock()
			total, errs = total+n, append(errs, err)
		})
	}
	workers.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if total == 0 {
		return 0, errors.New("nothing was done in the time")
	}
	// The last handshakes are not over for the server yet.
	time.Sleep(100 * time.Millisecond)
	after, err := p.server.family.cpu()
	return microseconds(after-before) / float64(total), err
}

// register sends a REGISTER and reads its 200.
func (s *securePhone) register() error {
	s.cseq++
	local := fmt.Sprintf("phone%d.invalid", s.user)
	s.text = fmt.Appendf(s.text[:0], "REGISTER sip:example.com SIP/2.0\r\n"+
		"Via: SIP/2.0/%[4]s %[1]s;branch=z9hG4bK%[2]d-%[3]d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:user%[2]d@example.com>;tag=%[2]d\r\nTo: <sip:user%[2]d@example.com>\r\nCall-ID: bench-%[2]d@example.com\r\nCSeq: %[3]d REGISTER\r\n"+
		"Contact: <sip:user%[2]d@%[1]s;transport=%[4]s>\r\nExpires: 3600\r\nUser-Agent: bench\r\nContent-Length: 0\r\n\r\n", local, s.user, s.cseq, s.via)
	if err := s.conn.SetDeadline(time.Now().Add(secureTime)); err != nil {
		return err
	}
	if _, err := s.conn.Write(s.text); err != nil {
		return err
	}
	status, err := s.in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(status, "SIP/2.0 200 ") {
		return fmt.Errorf("answer to a REGISTER: %q", strings.TrimSpace(status))
	}
	for {
		// An answer to a REGISTER has no body.
		line, err := s.in.ReadSlice('\n')
		if err != nil || len(line) == 2 {
			return err
		}
	}
}

// close ends all connections.
func (p *securePhones) close() error {
	var errs []error
	for _, s := range p.phones {
		if s != nil {
			errs = append(errs, s.conn.Close())
		}
	}
	return errors.Join(errs...)
}
