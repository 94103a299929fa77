// An authorization server: oidc-provider with service accounts, over HTTPS on a port of 127.0.0.1 that it prints.
//   node issuer.js CERTIFICATE KEY
// It ends with its standard input.
// The tests steer it at /test: POST /test/keys?alg=ES256[&keep=true] makes it sign with a new key and, unless told to
// keep them, forget its old ones; GET /test/key answers the present public key in PEM.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

import Provider from "oidc-provider";

// Characters that must be encoded for the Authorization header (RFC 6749 §2.3.1).
const SECRET = "s&:%+ x";

/** What the tokens of each service account say beside the standard claims. */
const ACCOUNTS = {
  administrator: { resource_access: { prov: { roles: ["ADMIN"] }, back: { roles: ["ADMIN"] } } },
  observer: { resource_access: { prov: { roles: ["OBSERVER"] } } },
  elsewhere: { resource_access: { other: { roles: ["ADMIN"] } } },
  nobody: {},
  // Without resource_access, as ADFS has it.
  plain_roles: { roles: ["ADMIN"] },
  // Its tokens are no JWTs.
  opaque: { resource_access: { prov: { roles: ["ADMIN"] } } },
};

function newKey(alg) {
  const [type, options] = alg === "ES256" ? ["ec", { namedCurve: "P-256" }] : ["rsa", { modulusLength: 2048 }];
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  const jwk = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg, use: "sig" };
  return { alg, jwk, pem: publicKey.export({ format: "pem", type: "spki" }) };
}

function provider(issuer, keys) {
  const { alg } = keys[0];
  const resource = (context, name, client) => ({
    scope: "basalt",
    accessTokenTTL: 300,
    accessTokenFormat: client.clientId === "opaque" ? "opaque" : "jwt",
    jwt: { sign: { alg, kid: keys[0].jwk.kid } },
  });
  return new Provider(issuer, {
    clients: Object.keys(ACCOUNTS).map((id) => ({
      client_id: id,
      client_secret: SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      // Its default would ask for a key of that kind.
      id_token_signed_response_alg: alg,
      scope: "basalt",
    })),
    // No account may ask for the second one.
    scopes: ["basalt", "forbidden"],
    jwks: { keys: keys.map((key) => key.jwk) },
    extraTokenClaims: (context, token) => ACCOUNTS[token.clientId],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "https://basalt.example",
        getResourceServerInfo: resource,
      },
    },
  }).callback();
}

const [certificate, privateKey] = process.argv.slice(2).map((file) => readFileSync(file));
let keys = [newKey("RS256")];
let answer;

const server = createServer({ cert: certificate, key: privateKey }, (request, response) => {
  const url = new URL(request.url, "https://127.0.0.1");
  if (url.pathname === "/test/keys") {
    const kept = url.searchParams.get("keep") ? keys : [];
    keys = [newKey(url.searchParams.get("alg")), ...kept];
    answer = provider(issuer(), keys);
    response.end();
  } else if (url.pathname === "/test/key") {
    response.end(keys[0].pem);
  } else {
    answer(request, response);
  }
});

const issuer = () => `https://127.0.0.1:${server.address().port}`;

process.stdin.resume().on("end", () => process.exit());
server.listen(0, "127.0.0.1", () => {
  answer = provider(issuer(), keys);
  console.log(issuer());
});
