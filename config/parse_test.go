package config

import (
	"fmt"
	"os"
	"testing"
)

func TestX(t *testing.T) {
	c, err := Load(os.Getenv("F"))
	fmt.Println(err)
	if c != nil {
		b, err := c.Dump()
		fmt.Println(string(b), err)
	}
}
