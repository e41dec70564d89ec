use netcom::{CreateError, ListenError, Role, Scope, generate_key};

use crate::support::{World, answer_as, ask, loopback, within};

#[tokio::test]
async fn a_client_connects_and_can_neither_be_found_nor_dialled() {
    let world = World::new();
    let alice = generate_key();
    let server = world.node().build().await.unwrap();
    answer_as(&server, "hello");
    let client = world.client(Scope::Host).role(Role::Client).netid(alice.clone());
    let client = client.build().await.unwrap();
    assert!(client.addresses().is_empty() && client.listen_addresses().is_empty());
    assert!(server.discover_netid(alice.net_id()).await.is_err());
    assert!(matches!(client.listen(loopback()).await, Err(ListenError::Client)));
    let listening = world.node().role(Role::Client).build().await.unwrap_err();
    assert!(matches!(listening, CreateError::Listen(ListenError::Client)));

    let connection = within(client.connect_to_peer(server.peer_id())).await.unwrap();
    assert_eq!(ask(&connection).await, "hello");
}

#[tokio::test]
async fn a_node_in_the_cloud_tells_no_address_of_its_own_networks() {
    let world = World::new();
    let cloud = world.node().cloud(true).build().await.unwrap();
    assert!(cloud.addresses().is_empty());
    assert_eq!(cloud.listen_addresses().len(), 1);
    let local = world.within(Scope::Global).local(true).build().await.unwrap();
    assert_eq!(local.scope(), Scope::Lan);
    assert_eq!(local.addresses().len(), 1);
}

#[tokio::test]
async fn a_node_of_the_host_listens_on_loopback_alone() {
    let world = World::new();
    let node = world.client(Scope::Host).build().await.unwrap();
    let addresses = node.listen_addresses();
    assert!(addresses.len() >= 2);
    for address in addresses {
        let text = address.to_string();
        assert!(text.starts_with("/ip4/127.0.0.1/") || text.starts_with("/ip6/::1/"), "{text}");
    }
    let further = node.listen(loopback()).await.unwrap();
    assert!(node.listen_addresses().contains(&further));
}
