module lunatic.example

go 1.25
