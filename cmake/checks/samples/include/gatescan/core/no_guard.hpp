// breaks: once
