package apns

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sideshow/apns2/token"
)

// A Token authenticates the requests of all Senders of one key: APNs refuses
// those who mint tokens too often. It is safe for concurrent use.
type Token struct {
	token *token.Token
	key   [sha256.Size]byte

	// mu guards minted; it is taken before the lock of token.
	mu     sync.Mutex
	minted time.Time // when APNs last made us mint one before its time
}

// NewToken reads a .p8 file's content and signs once: apns2 would send an empty
// token in place of an error later.
func NewToken(keyP8 []byte, keyID, teamID string) (*Token, error) {
	if keyID == "" || teamID == "" {
		return nil, errors.New("apns: key ID or team ID missing")
	}
	key, err := token.AuthKeyFromBytes(keyP8)
	if err != nil {
		return nil, fmt.Errorf("apns: read key: %w", err)
	}
	t := &Token{token: &token.Token{AuthKey: key, KeyID: keyID, TeamID: teamID}, key: sha256.Sum256(keyP8)}
	if _, err := t.token.Generate(); err != nil {
		return nil, fmt.Errorf("apns: sign token: %w", err)
	}
	return t, nil
}

// Is reports whether t is what NewToken makes of the same arguments.
func (t *Token) Is(keyP8 []byte, keyID, teamID string) bool {
	return t != nil && t.key == sha256.Sum256(keyP8) && t.token.KeyID == keyID && t.token.TeamID == teamID
}

// renewEvery is how often APNs lets a token change; more often is answered with
// TooManyProviderTokenUpdates.
const renewEvery = 20 * time.Minute

// renew makes the next push carry another token than the refused one, and
// reports false if it may not. apns2 renews by age alone, which does not help if
// its clock is wrong.
func (t *Token) renew(refused string, now time.Time) bool {
	if t == nil {
		return false // with a certificate
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if "bearer "+t.token.GenerateIfExpired() != refused {
		return true // another push did it meanwhile
	}
	if !t.minted.IsZero() && now.Sub(t.minted) < renewEvery {
		return false
	}
	t.minted = now
	t.token.Lock()
	t.token.IssuedAt = 0
	t.token.Unlock()
	return true
}
