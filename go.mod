module github.com/semantic-id/semantic-id

go 1.25.0
