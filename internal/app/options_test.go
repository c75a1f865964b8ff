package app

import (
	"testing"

	"reveille/configs"
)

func TestAuthOptions_Limits(t *testing.T) {
	cfg := configs.Default()
	cfg.Limits.Nonces = 12345
	o, err := authOptions(cfg, nil)
	if err != nil || o.NonceTable != 12345 {
		t.Errorf("NonceTable = %d, %v; want limits.nonces", o.NonceTable, err)
	}
}
