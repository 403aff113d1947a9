# What the token of one site's controller may do in Vault: nothing but with that site's own keys, and never read one out.
# Write the site's name for SITE, and the engine's path for transit where it is another.
path "transit/keys/yunting-SITE-*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "transit/encrypt/yunting-SITE-*" {
  # Without "create": what is wrapped with a key that is not there fails, and makes none.
  capabilities = ["update"]
}
path "transit/decrypt/yunting-SITE-*" {
  capabilities = ["update"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
